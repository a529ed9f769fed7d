"""One replica's figures at one moment, as its parts tell them. Knows no messages; `encode_statistics` writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from batching import Statistics
from server.health.deep_health import DeepHealth
from server.health.readiness import Readiness
from server.refusal import Reason
from server.results.known_results import SharedResultsStatistics
from server.results.request_ledger import LedgerStatistics
from server.results.result_cache import ResultCacheStatistics
from server.routes.route_snapshot import RouteSnapshot
from server.security.halt_keeper import HaltState
from server.security.key_ring import KeyRingState
from server.ticks.tick_counters import TickCounters


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CacheFigures:
    """What one replica remembers of its answers.

    Attributes:
        results: Answers by window.
        shared: The level behind them; None without one.
        request_ids: Answers by request id.
    """

    results: ResultCacheStatistics
    shared: SharedResultsStatistics | None
    request_ids: LedgerStatistics


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSnapshot:
    """One replica at one moment.

    Attributes:
        replica_id: Identifies it.
        scheduler: The scheduler's figures.
        uptime: Seconds since it started.
        open_streams: Tick streams that are open.
        symbols: Symbols whose windows are kept.
        profile: Scheduling profile in force; empty if none.
        cache: What is remembered of its answers.
        routes: The routes in force, by model name.
        ticks: What the tick streams have done.
        store_failures: Writes to the window store that failed and were repeated.
        readiness: Whether it takes requests, and what keeps it from it.
        deep_health: What the last check of its engine found.
        loop_lag: Most seconds by which the event loop was late in the last ten.
        refused_calls: Calls that were refused at the seam, by reason.
        keys: How the API keys stand; None where callers need none.
        halts: What is halted, and whether that is known.
    """

    replica_id: str
    scheduler: Statistics
    uptime: float
    open_streams: int
    symbols: int
    profile: str
    cache: CacheFigures
    routes: tuple[RouteSnapshot, ...] = ()
    ticks: TickCounters = dataclasses.field(default_factory=TickCounters)
    store_failures: int = 0
    readiness: Readiness = dataclasses.field(default_factory=Readiness)
    deep_health: DeepHealth = dataclasses.field(default_factory=DeepHealth)
    loop_lag: float = 0.0
    refused_calls: Mapping[Reason, int] = dataclasses.field(default_factory=dict)
    keys: KeyRingState | None = None
    halts: HaltState = dataclasses.field(default_factory=HaltState)

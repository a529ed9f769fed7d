"""The real network, live: what its batches cost on one replica, and two replicas under Poisson arrivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.capacity.length import Length
from benchmarks.capacity.stage import PATIENCE, plan, serving, tell
from benchmarks.load import runner
from benchmarks.load.plan import Priority, Traffic
from benchmarks.load.runner import LoadRun
from benchmarks.peers.export import Material
from benchmarks.peers.target import Server

#: Callers at a time, so that batches of all sizes are seen.
CALLERS = (1, 2, 4, 8, 16, 32, 64)
#: The traffic that is predicted: share and seconds within which an answer counts, by class.
MIX: dict[Priority, float] = {"real_time": 0.2, "standard": 0.5, "background": 0.3}
SLO: dict[Priority, float] = {"real_time": 0.1, "standard": 0.5, "background": 5.0}
#: Part of what a closed loop gets out of the two replicas that the open loop asks for: the generator, the proxy and
#: two event loops share the two cores with two engines, and beyond that the machine is what is measured.
LOAD = 0.45
_CONNECTIONS = 4
_KEPT = (
    "sent",
    "answered",
    "in_time",
    "goodput",
    "answered_per_second",
    "latency_ms",
    "send_lag_ms",
    "transport_ms",
    "batches",
    "outcomes",
    "reasons",
)
_RANGE = 500_000


def costs(length: Length, material: Material) -> dict[str, Any]:
    """Returns what one replica's batches take, by number of callers, and what the way to the queue and back does."""
    found: dict[str, Any] = {}
    # Batches may take as long as they like here: their sizes are what is wanted.
    with serving(material, replicas=1, TICKSERVE_SCHEDULER__MAX_BATCH_DURATION="1.0") as server:
        for place, callers in enumerate(CALLERS):
            run = _closed(server, material, callers, length.warm_up, length.costs, place * _RANGE)
            figures = run.traffic("closed")
            found[str(callers)] = kept(figures)
            found[str(callers)]["foreign_cpu"] = run.foreign_cpu
            tell(f"real network, {callers} callers: {figures['answered_per_second']:.0f}/s")
    return found


def two_replicas(length: Length, material: Material) -> dict[str, Any]:
    """Returns a run to take costs from, and the runs to predict, all at the same rate with other arrivals."""
    with serving(material, replicas=2) as server:
        closed = _closed(server, material, 16, length.warm_up, length.costs, 0).traffic("closed")
        rate = LOAD * closed["answered_per_second"]
        tell(f"two replicas, closed loop: {closed['answered_per_second']:.0f}/s; open loops at {rate:.0f}/s")
        first = _open(server, material, rate, length.warm_up, length.calibration, seed=1)
        runs = [_open(server, material, rate, length.warm_up, length.live, seed=2 + n) for n in range(length.live_runs)]
    return {
        "closed_per_second": closed["answered_per_second"],
        "rate": rate,
        "mix": MIX,
        "slo": SLO,
        "calibration": first,
        "runs": runs,
    }


def _closed(
    server: Server, material: Material, callers: int, warm_up: float, duration: float, first_window: int
) -> LoadRun:
    traffic = Traffic(
        name="closed",
        priority="standard",
        deadline=PATIENCE,
        rpc_timeout=PATIENCE,
        callers=callers,
        connections=min(callers, _CONNECTIONS),
    )
    made = plan(server, material, (traffic,), warm_up=warm_up, duration=duration, first_window=first_window)
    return runner.run([made], watch={"server": server.pid})


def _open(
    server: Server, material: Material, rate: float, warm_up: float, duration: float, *, seed: int
) -> dict[str, Any]:
    traffic = tuple(
        Traffic(
            name=name,
            priority=name,
            deadline=SLO[name],
            rpc_timeout=PATIENCE,
            rate=share * rate,
            arrivals="poisson",
            connections=_CONNECTIONS,
        )
        for name, share in MIX.items()
    )
    made = plan(
        server,
        material,
        traffic,
        warm_up=warm_up,
        duration=duration,
        first_window=(10 + seed) * _RANGE,
        seed=seed,
    )
    run = runner.run([made], watch={"server": server.pid})
    classes = {name: kept(run.traffic(name)) for name in MIX}
    tell(f"open loop: { {name: figures['latency_ms']['p99'] for name, figures in classes.items()} }")
    return {
        "classes": classes,
        "server_cpu": run.server_cpu["server"],
        "client_cpu": run.client_cpu,
        "foreign_cpu": run.foreign_cpu,
        "stolen_cpu": run.stolen_cpu,
        "seconds": duration,
    }


def kept(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the results keep of one kind of traffic: every latency of every request would be megabytes."""
    return {key: figures[key] for key in _KEPT}

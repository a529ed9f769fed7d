"""Owns one trial: one replica's scheduler and engine under its share of the load. Must not know how many there are.

Why one replica stands for all: HAProxy deals requests out to the replica with the fewest open ones (`leastconn`), so
each of `n` like replicas gets an `n`-th of the rate. It is taken as a Poisson process, as if it were dealt out by
chance: `leastconn` is more even than that where one proxy sees all the traffic, and about like it where many proxies
each see a part, so the figures err on the slow side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from batching import PriorityClass, SchedulerConfig
from planning.arrivals import poisson
from planning.core_policy import CorePolicy
from planning.cost_table import CostTable
from planning.demand import Demand, name_of
from planning.engine import SimulatedEngine
from planning.ledger import Ledger
from planning.simulator import Simulator
from planning.summary import StreamSummary, Summary, summarize
from planning.traffic import Stream, open_loop, split

#: Seconds by which the server's deadline is earlier than the caller's: the setting `reply_margin`.
REPLY_MARGIN = 0.002
#: Callers of each class on one replica: they only matter to fairness between callers.
_CALLERS = 16
#: Part of the requests that may still wait when the last one arrives: more is a queue that grows.
_BACKLOG = 0.05


@dataclass(frozen=True, kw_only=True)
class ClassOutcome:
    """What became of one class; times in seconds at the client, of the answers there were.

    Attributes:
        priority: The class.
        slo: Seconds within which an answer counts.
        sent: Requests that were simulated.
        p50: Median; NaN if none was answered.
        p99: As `p50`.
        miss_share: Part of the requests sent that were refused, expired, or answered late.
        good_per_second: Answers in time a second, of one replica.
    """

    priority: PriorityClass
    slo: float
    sent: int
    p50: float
    p99: float
    miss_share: float
    good_per_second: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one replica does at one rate.

    Attributes:
        rate: Requests a second that it was sent.
        classes: By class, most urgent first.
        goodput: Part of all requests answered in time.
        engine_busy: Part of the time that the engine ran.
        mean_batch_size: Requests a call.
        backlog: Part of the requests that still waited when the last one arrived.
    """

    rate: float
    classes: tuple[ClassOutcome, ...]
    goodput: float
    engine_busy: float
    mean_batch_size: float
    backlog: float

    def keeps(self, goal: float) -> bool:
        """Tell whether every class is in time as often as the goal says, and the queue does not grow."""
        return self.backlog <= _BACKLOG and all(entry.miss_share <= 1.0 - goal for entry in self.classes)


def run_trial(
    demand: Demand, *, rate: float, table: CostTable, config: SchedulerConfig, requests: int, seed: int
) -> Trial:
    """Simulate one replica that gets `rate` requests a second of the demand's mix; equal seeds give equal trials."""
    # From zero for each rate: two rates see the same arrivals, only closer together, so that chance decides less.
    random = np.random.default_rng([seed, 0x71A1])
    shares = demand.shares
    streams = _streams(shares, demand.slo)
    parts = split(random, poisson(random, rate=rate, count=requests), streams, list(shares.values()))
    traffic = open_loop(random, parts)
    ledger = Ledger(traffic, transport=table.transport_seconds, reply_margin=REPLY_MARGIN)
    policy = CorePolicy(ledger, config=config, warm_up=table.seconds_by_batch_size)
    engine = SimulatedEngine(table, max_batch_size=config.max_batch_size, seed=seed)
    use = Simulator(traffic=traffic, ledger=ledger, policy=policy, engine=engine, table=table).run()
    summary = summarize(
        ledger,
        use,
        policy="tickserve",
        workload="plan",
        transport=table.transport_seconds,
        transport_jitter=table.transport_jitter,
        seed=seed,
    )
    last = float(traffic.sent_at[-1])
    waiting = int((np.array(ledger.ended_at) > last).sum())
    return _trial(rate, summary, demand, waiting / requests)


def quiet(table: CostTable) -> CostTable:
    """Return the table without its stalls and jitter: what a lone request on an idle replica takes."""
    return replace(table, jitter=0.0, stall_probability=0.0, transport_jitter=0.0)


def _streams(shares: Mapping[PriorityClass, float], slo: Mapping[PriorityClass, float]) -> Sequence[Stream]:
    return [
        Stream(name=name_of(priority), priority=priority, timeout=slo[priority], callers=_CALLERS)
        for priority in shares
    ]


def _trial(rate: float, summary: Summary, demand: Demand, backlog: float) -> Trial:
    return Trial(
        rate=rate,
        classes=tuple(
            _outcome(priority, demand.slo[priority], summary.streams[name_of(priority)]) for priority in demand.shares
        ),
        goodput=summary.goodput,
        engine_busy=summary.utilisation,
        mean_batch_size=summary.mean_batch_size,
        backlog=backlog,
    )


def _outcome(priority: PriorityClass, slo: float, entry: StreamSummary) -> ClassOutcome:
    return ClassOutcome(
        priority=priority,
        slo=slo,
        sent=entry.sent,
        p50=entry.p50,
        p99=entry.p99,
        miss_share=1.0 - entry.goodput if entry.sent else 0.0,
        good_per_second=entry.in_time_per_second,
    )

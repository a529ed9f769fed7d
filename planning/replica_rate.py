"""Owns the search: the greatest rate at which one replica keeps the goals, and the batch settings that allow it.

Must not know the demand's rate, so that twice the load needs twice the replicas and never fewer, whatever chance does
in a simulation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from batching import SchedulerConfig
from planning.cost_table import CostTable
from planning.demand import Demand, name_of
from planning.planning_error import UnreachableGoalError
from planning.trial import REPLY_MARGIN, Trial, quiet, run_trial

#: Rates that are tried: each this part of the one before it.
_STEP = 0.97
#: The slowest rate tried, as a part of the ceiling; a replica that cannot do that much cannot keep the goals at all.
_LEAST = 0.02
#: Part of the engine's best that may be asked of it: beyond, queues grow without bound now and then.
_ENGINE_SHARE = 0.9
#: Batch durations that are tried, as parts of the longest that an urgent request can stand twice.
_DURATIONS = (1.0, 0.75, 0.5)
#: Simulated requests: a quick look to choose by, then enough of the rarest class to tell the goal by.
_QUICK_REQUESTS = 4_000
_REQUESTS = 20_000
_MOST_REQUESTS = 60_000
#: Rates, one below the other, that must all keep the goals: one alone may do so by chance.
_IN_A_ROW = 3
#: Misses of the rarest class that the goal would allow in a simulation which is long enough.
_ALLOWED_MISSES = 10


@dataclass(frozen=True, kw_only=True)
class ReplicaRate:
    """What one replica can be given.

    Attributes:
        rate: Requests a second.
        bound: What keeps it from more: "goals", "engine" or "event loop"; a plan may say "memory".
        config: The scheduler's settings under which it is.
        trial: The simulation at that rate.
        requests: Simulated in it.
    """

    rate: float
    bound: str
    config: SchedulerConfig
    trial: Trial
    requests: int


def find_replica_rate(
    demand: Demand, *, table: CostTable, loop_rate: float, seed: int, requests: int | None = None
) -> ReplicaRate:
    """Search the greatest rate.

    Args:
        demand: Mix and goals; its rate is not looked at.
        table: Costs of the replica's engine.
        loop_rate: Requests a second that its event loop may be given.
        seed: Of everything drawn.
        requests: Simulated in the last trials; by default enough for the rarest class.

    Raises:
        UnreachableGoalError: It cannot keep the goals at any rate.
    """
    _refuse_what_nobody_can_keep(demand, table)
    count = requests or _enough(demand)
    quick = min(count, _QUICK_REQUESTS)
    best, best_rate = None, 0.0
    for config in batch_settings(demand, table):
        # Only steps that beat what is known: most settings are done with in one trial.
        last = sum(_rate_at(step, table, config, loop_rate) > best_rate for step in range(_steps() + 1)) - 1
        if last >= 0 and (step := _bisect(demand, table, config, loop_rate, quick, seed, last)) is not None:
            best, best_rate = (config, step), _rate_at(step, table, config, loop_rate)
    if best is None:
        raise _unreachable(demand, table)
    config, step = best
    # The quick look is too kind or too strict by a few steps: begin above it, go down to the first that holds.
    first, held = max(0, step - 2), list[Trial]()
    for candidate in range(first, _steps() + 1):
        rate = _rate_at(candidate, table, config, loop_rate)
        trial = run_trial(demand, rate=rate, table=table, config=config, requests=count, seed=seed)
        held = [*held, trial] if trial.keeps(demand.goal) else []
        if len(held) == _IN_A_ROW:
            ceiling = "event loop" if _ceiling(table, config, loop_rate) == loop_rate else "engine"
            bound = "goals" if candidate >= _IN_A_ROW else ceiling
            return ReplicaRate(rate=held[0].rate, bound=bound, config=config, trial=held[0], requests=count)
    raise _unreachable(demand, table)


def batch_settings(demand: Demand, table: CostTable) -> list[SchedulerConfig]:
    """Return the scheduler's settings that are tried, longest batches first.

    An urgent request may have to wait for one whole batch, and then for its own: two of them, the way to the queue and
    back, and the margins have to fit into the tightest goal.
    """
    default = SchedulerConfig()
    tightest = min(demand.slo[priority] for priority in demand.shares)
    kept = table.transport_seconds + REPLY_MARGIN + default.completion_margin + 2.0 * table.dispatch_seconds
    longest = (tightest - kept) / 2.0
    least, most = table.duration(1), table.duration(default.max_batch_size)
    seconds = {_whole_tenths(min(max(part * longest, least), most)) for part in _DURATIONS}
    if least <= default.max_batch_duration <= max(longest, least):
        seconds.add(default.max_batch_duration)
    return [
        replace(default, max_batch_duration=duration, max_batch_size=_size(table, duration, default.max_batch_size))
        for duration in sorted(seconds, reverse=True)
    ]


def _whole_tenths(seconds: float) -> float:
    # Rounded up to 0.1 ms: a batch of one must still fit.
    return math.ceil(seconds * 1e4 - 1e-9) / 1e4


def _size(table: CostTable, duration: float, most: int) -> int:
    return max((size for size in range(1, most + 1) if table.duration(size) <= duration), default=1)


def _ceiling(table: CostTable, config: SchedulerConfig, loop_rate: float) -> float:
    # The mean of a lognormal factor, and of the stalls, on top of the medians.
    median = table.capacity(config.max_batch_size)
    size = config.max_batch_size
    stalls = table.stall_probability * table.stall_seconds / (table.dispatch_seconds + table.duration(size))
    mean = median / (math.exp(table.jitter**2 / 2.0) + stalls)
    return min(_ENGINE_SHARE * mean, loop_rate)


def _rate_at(step: int, table: CostTable, config: SchedulerConfig, loop_rate: float) -> float:
    return float(_ceiling(table, config, loop_rate) * _STEP**step)


def _steps() -> int:
    return math.ceil(math.log(_LEAST) / math.log(_STEP))


def _bisect(
    demand: Demand,
    table: CostTable,
    config: SchedulerConfig,
    loop_rate: float,
    requests: int,
    seed: int,
    last: int,
) -> int | None:
    """Return the fewest steps down from the ceiling, at most `last`, at which the goals are kept; None if at none."""

    def keeps(step: int) -> bool:
        rate = _rate_at(step, table, config, loop_rate)
        return run_trial(demand, rate=rate, table=table, config=config, requests=requests, seed=seed).keeps(demand.goal)

    return _first(keeps, last)


def _first(keeps: Callable[[int], bool], last: int) -> int | None:
    if not keeps(last):
        return None
    if not last or keeps(0):
        return 0
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high


def _enough(demand: Demand) -> int:
    rarest = min(demand.shares.values())
    return min(_MOST_REQUESTS, max(_REQUESTS, math.ceil(_ALLOWED_MISSES / (1.0 - demand.goal) / rarest)))


def _least_latency(table: CostTable) -> float:
    table = quiet(table)
    return table.duration(1) + table.dispatch_seconds + table.transport_seconds


def _refuse_what_nobody_can_keep(demand: Demand, table: CostTable) -> None:
    least = _least_latency(table) + REPLY_MARGIN
    for priority in demand.shares:
        if demand.slo[priority] <= least:
            raise UnreachableGoalError(
                "--slo",
                f"{name_of(priority)} within {1e3 * demand.slo[priority]:g} ms: one request alone takes "
                f"{1e3 * least:.3g} ms with its margins; give it more, or name a faster engine with --costs",
            )


def _unreachable(demand: Demand, table: CostTable) -> UnreachableGoalError:
    return UnreachableGoalError(
        "--slo",
        f"a replica that is hardly loaded misses a class more often than in {1.0 - demand.goal:.3g} of the cases "
        f"(one request alone takes {1e3 * _least_latency(table):.3g} ms, and a batch may be running): give the "
        "tightest class more time, lower --goal, or name a faster engine with --costs",
    )

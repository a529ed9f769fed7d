"""Owns the whole plan: replicas, batch settings, what to expect, what fills up first, what it costs.

Pure: equal demands, budgets and seeds give equal plans.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from planning.budgets import Budgets, EngineBudget
from planning.component import (
    ENTRY_NETWORK,
    ENTRY_PROXY,
    Component,
    components,
    first_bottleneck,
    loop_rate,
    memory_rate,
    replica_memory,
    replicas_per_node,
)
from planning.demand import Demand
from planning.planning_error import InvalidDemandError
from planning.price import Price, price_of
from planning.replica_rate import ReplicaRate, find_replica_rate
from planning.trial import Trial, run_trial

#: Predictions a second for which the first bottleneck is told, whatever is asked for.
OUTLOOK_RATES = (10_000.0, 100_000.0, 1_000_000.0)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The same mix and goals at another rate.

    Attributes:
        rate: Predictions a second.
        replicas: That it needs, the spare ones included.
        nodes: That hold them by processors, GPUs and memory, and carry what comes in through their proxies.
        parts: The shared parts, the one that fills up first at the head.
        first: That one, if the load is more than one of it carries.
    """

    rate: float
    replicas: int
    nodes: int
    parts: tuple[Component, ...]
    first: Component | None


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """What a demand needs.

    Attributes:
        demand: What was asked for.
        engine: Of the replicas.
        replica: What one replica can be given, and with which batch settings.
        loop_rate: Predictions a second that a replica's event loop may be given.
        replicas: In all, the spare ones included.
        spare: How many of them may be gone.
        expected: One replica's share with all of them there.
        without_spare: The same with the spare ones gone.
        replica_bytes: Memory of one replica with its share of streams and windows.
        here: The shared parts under the demand itself.
        outlook: At `OUTLOOK_RATES`.
        price: Of it all.
        redis: Whether the streams' windows are kept in a Redis.
        seed: Of everything drawn.
    """

    demand: Demand
    engine: EngineBudget
    replica: ReplicaRate
    loop_rate: float
    replicas: int
    spare: int
    expected: Trial
    without_spare: Trial
    replica_bytes: float
    here: Outlook
    outlook: tuple[Outlook, ...]
    price: Price
    redis: bool
    seed: int

    @property
    def goodput(self) -> float:
        """Answers in time a second, of all replicas."""
        return self.expected.goodput * self.demand.total_rate


def make_plan(
    demand: Demand,
    budgets: Budgets,
    *,
    engine: EngineBudget,
    spare: int = 1,
    redis: bool = False,
    seed: int = 1,
    requests: int | None = None,
    outlook_rates: Sequence[float] = OUTLOOK_RATES,
) -> CapacityPlan:
    """Plan.

    Args:
        demand: What is asked for.
        budgets: What each part carries.
        engine: Of the replicas.
        spare: Replicas more than the goals need, so that as many may be gone.
        redis: Whether the streams' windows are kept in a Redis.
        seed: Of everything drawn.
        requests: Simulated in each trial that counts; by default enough for the rarest class.
        outlook_rates: For which the first bottleneck is told.

    Raises:
        InvalidDemandError: `spare` is below 0.
        InvalidBudgetsError: A replica is too large for a node.
        UnreachableGoalError: No number of replicas keeps the goals.
    """
    if spare < 0:
        raise InvalidDemandError("--spare", f"{spare} replicas cannot be; give 0 or more")
    most, held = loop_rate(demand, budgets), memory_rate(demand, budgets)
    replica = find_replica_rate(demand, table=engine.table, loop_rate=most, seed=seed, requests=requests)
    if held < replica.rate:
        replica = _held_back(replica, demand, engine, rate=held, seed=seed)
    needed = replicas_for(demand.total_rate, replica.rate)
    replicas = needed + spare

    def trial(count: int) -> Trial:
        return run_trial(
            demand,
            rate=demand.total_rate / count,
            table=engine.table,
            config=replica.config,
            requests=replica.requests,
            seed=seed,
        )

    def outlook(rate: float) -> Outlook:
        return _outlook(demand, budgets, engine, replica.rate, rate=rate, spare=spare, redis=redis)

    without = trial(needed)
    return CapacityPlan(
        demand=demand,
        engine=engine,
        replica=replica,
        loop_rate=most,
        replicas=replicas,
        spare=spare,
        expected=trial(replicas) if spare else without,
        without_spare=without,
        replica_bytes=replica_memory(budgets, streams=demand.streams / needed),
        here=outlook(demand.total_rate),
        outlook=tuple(outlook(rate) for rate in outlook_rates),
        price=price_of(
            budgets,
            replicas=replicas,
            cpus=engine.cpus,
            gpus=engine.gpus,
            proxy_cores=_proxy_cores(demand, budgets),
            rate=demand.total_rate,
        ),
        redis=redis,
        seed=seed,
    )


def replicas_for(rate: float, replica_rate: float) -> int:
    """Return how many replicas share `rate` so that none gets more than `replica_rate`; at least one."""
    return max(1, math.ceil(rate / replica_rate - 1e-9))


def _held_back(replica: ReplicaRate, demand: Demand, engine: EngineBudget, *, rate: float, seed: int) -> ReplicaRate:
    trial = run_trial(
        demand, rate=rate, table=engine.table, config=replica.config, requests=replica.requests, seed=seed
    )
    return replace(replica, rate=rate, bound="memory", trial=trial)


def _outlook(
    demand: Demand,
    budgets: Budgets,
    engine: EngineBudget,
    replica_rate: float,
    *,
    rate: float,
    spare: int,
    redis: bool,
) -> Outlook:
    needed = replicas_for(rate, replica_rate)
    # As many streams for each prediction as in the demand; each replica's while the spare ones are gone.
    streams = demand.streams * rate / demand.total_rate / needed
    parts = components(demand, budgets, rate=rate, replica_rate=replica_rate, redis=redis)
    fit = replicas_per_node(engine, budgets, demand, replica_rate=replica_rate, streams=streams)
    entries = max(part.needed for part in parts if part.name in (ENTRY_PROXY, ENTRY_NETWORK))
    return Outlook(
        rate=rate,
        replicas=needed + spare,
        nodes=max(math.ceil((needed + spare) / fit), entries),
        parts=tuple(parts),
        first=first_bottleneck(parts),
    )


def _proxy_cores(demand: Demand, budgets: Budgets) -> float:
    unary = demand.rate * budgets.value("haproxy_unary_seconds")
    return unary + demand.tick_rate * budgets.value("haproxy_tick_seconds")

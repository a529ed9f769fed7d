"""Owns the grid: every policy on every workload, each from the same seed. Must not know how results are shown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from batching import SchedulerConfig
from benchmarks.scheduling.early_binding_policy import EarlyBindingPolicy
from benchmarks.scheduling.fifo_policy import FifoPolicy
from benchmarks.scheduling.priority_policy import StrictPriorityPolicy
from planning.core_policy import CorePolicy
from planning.cost_table import CostTable
from planning.engine import SimulatedEngine
from planning.ledger import Ledger
from planning.policy import PolicyFactory
from planning.simulator import Simulator
from planning.summary import Summary, summarize
from planning.workload import Scale, Workload

#: Of ``@serve.batch`` in the stock service that this project replaces, in seconds.
EARLY_WAIT = 0.010


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all runs share.

    Attributes:
        table: Costs of the engine.
        requests: About how many requests each run sends.
        seed: Of everything drawn.
        config: The scheduler's settings; its batch size and its limit of all that wait are the other policies', too.
        reply_margin: Seconds by which the server's deadline is earlier than the client's.
    """

    table: CostTable
    requests: int
    seed: int = 1
    config: SchedulerConfig = field(default_factory=SchedulerConfig)
    reply_margin: float = 0.002


@dataclass(frozen=True, kw_only=True)
class Run:
    """One result, and how fast it was had."""

    summary: Summary
    wall_seconds: float


def policies(config: SchedulerConfig, table: CostTable | None = None) -> dict[str, PolicyFactory]:
    """Return the policies that are compared, by name; ours comes last.

    Args:
        config: Of the scheduler; the others take their limits from it.
        table: If given, what the engine's warm-up has told the scheduler: quiet medians, as a starting replica has.
    """
    warm_up = table.seconds_by_batch_size if table is not None else None
    size, queue = config.max_batch_size, config.max_total_queue_size
    return {
        "fifo": lambda ledger: FifoPolicy(ledger, max_batch_size=size, max_queue_size=queue),
        "strict priority": lambda ledger: StrictPriorityPolicy(ledger, max_batch_size=size, max_queue_size=queue),
        "early binding": lambda ledger: EarlyBindingPolicy(ledger, max_batch_size=size, wait=EARLY_WAIT),
        "tickserve": lambda ledger: CorePolicy(ledger, config=config, warm_up=warm_up),
    }


def simulate(workload: Workload, policy: str, setup: Setup) -> Run:
    """Run one policy on one workload; the traffic depends on the seed and the workload's name alone."""
    began = perf_counter()
    table, size = setup.table, setup.config.max_batch_size
    random = np.random.default_rng([setup.seed, *workload.name.encode()])
    traffic = workload.traffic(random, Scale(requests=setup.requests, capacity=table.capacity(size)))
    ledger = Ledger(traffic, transport=table.transport_seconds, reply_margin=setup.reply_margin)
    engine = SimulatedEngine(
        table, max_batch_size=size, seed=setup.seed, slowdowns=workload.slowdowns(traffic.duration)
    )
    simulator = Simulator(
        traffic=traffic, ledger=ledger, policy=policies(setup.config, table)[policy](ledger), engine=engine, table=table
    )
    use = simulator.run()
    summary = summarize(ledger, use, policy=policy, workload=workload.name, transport=table.transport_seconds)
    return Run(summary=summary, wall_seconds=perf_counter() - began)


def run_all(
    workloads: Sequence[Workload], names: Sequence[str], setup: Setup, *, progress: Callable[[Run], None]
) -> Iterator[Run]:
    """Run every named policy on every workload, telling of each as it is done."""
    for workload in workloads:
        for name in names:
            run = simulate(workload, name, setup)
            progress(run)
            yield run

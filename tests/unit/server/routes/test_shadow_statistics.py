"""Laws of what `GetStatistics` shows of shadows: nothing until there are any, and never among what callers met."""

import math

from batching import PriorityClass, Request, Scheduler, SchedulerConfig
from server.results.request_ledger import LedgerStatistics
from server.results.result_cache import ResultCacheStatistics
from server.rpc.encode_statistics import write_statistics
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from tickserve.v1 import priority_pb2
from tickserve.v1.model_service_pb2 import ReplicaStatistics

Core = Scheduler[int, int]
CACHE = CacheFigures(
    results=ResultCacheStatistics(entries=0, size_bytes=0, hits=0, misses=0, expirations=0, evictions=0),
    shared=None,
    request_ids=LedgerStatistics(entries=0, size_bytes=0, replays=0, reused=0),
)


def told(core: Core) -> ReplicaStatistics:
    """Returns what a replica with this scheduler tells."""
    return write_statistics(
        ReplicaSnapshot(
            replica_id="r",
            scheduler=core.statistics(3.0),
            uptime=1.0,
            open_streams=0,
            symbols=0,
            profile="",
            cache=CACHE,
        ),
        [],
    )


def submit(core: Core, priority: PriorityClass) -> None:
    """Submits a request that waits."""
    core.submit(Request(priority=priority, deadline=math.inf, batch_key="m", caller="c", payload=0), 1.0)


def test_who_tries_nothing_out_is_not_told_of_the_class() -> None:
    """Three classes, and no outcome that speaks of shadows."""
    core: Core = Scheduler(SchedulerConfig())
    submit(core, PriorityClass.BACKGROUND)
    found = told(core)
    assert [entry.priority for entry in found.classes] == [1, 2, 3]
    assert not [name for name in found.outcome_counts if "shadow" in name]


def test_shadows_are_shown_apart() -> None:
    """A row of their own, the least urgent, and outcomes under names of their own: to shed them is no trouble."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=2))
    for priority in (PriorityClass.SHADOW, PriorityClass.SHADOW, PriorityClass.BACKGROUND):
        submit(core, priority)
    found = told(core)
    last = found.classes[-1]
    assert (last.priority, last.queued_count) == (priority_pb2.PRIORITY_SHADOW, 1)
    assert last.oldest_duration.ToSeconds() == 2
    assert (found.outcome_counts["submitted"], found.outcome_counts["displaced"]) == (1, 0)
    shadows = {name: count for name, count in found.outcome_counts.items() if name.startswith("shadow_")}
    assert shadows == {"shadow_submitted": 2, "shadow_displaced": 1}

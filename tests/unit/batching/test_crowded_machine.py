"""Law 6 on a machine that others use, too: batches shrink with it, but not until nothing gets done any more."""

import math

import pytest

from batching import PriorityClass, Request, Scheduler, SchedulerConfig
from batching.batch_policy import MAX_SLOWDOWN

FIXED, EACH = 0.0013, 0.0006
BOUND = 0.012


def cost(size: int) -> float:
    """Returns what a batch takes on a quiet machine, in seconds."""
    return FIXED + EACH * size


def settled(wait: float, slowdown: float) -> int:
    """Returns the size of batches, in the end, of a machine that adds a wait to each and slows each down."""
    core: Scheduler[int, int] = Scheduler(SchedulerConfig(max_batch_duration=BOUND))
    for size in (1, 2, 4, 8, 16, 32, 64):
        core.observe_warm_up("m", size, cost(size))
    now, sizes = 0.0, []
    for _ in range(300):
        while core.queued < 64:
            core.submit(
                Request(priority=PriorityClass.STANDARD, deadline=math.inf, batch_key="m", caller="c", payload=0), now
            )
        batch = core.choose(now)
        assert batch is not None
        now += wait + slowdown * cost(len(batch))
        core.complete(batch, batch.payloads, now)
        core.take_ended()
        sizes.append(len(batch))
    return sizes[-1]


def test_waits_do_not_end_in_batches_of_one() -> None:
    """A wait that every batch has, however small, is not shortened by small batches: they only have it more often."""
    quiet, crowded = settled(0.0, 1.0), settled(0.008, 1.0)
    assert cost(quiet) <= BOUND < cost(quiet + 1)
    assert cost(crowded) >= BOUND / MAX_SLOWDOWN - EACH
    assert crowded <= quiet
    # What counts: more than half of what could be done is done, where batches of one would do a sixth.
    done, best = (size / (0.008 + cost(size)) for size in (crowded, quiet))
    assert done > best / 2
    assert 1 / (0.008 + cost(1)) < best / 6


@pytest.mark.parametrize("slowdown", [1.2, 1.9, 3.0, 6.0])
def test_a_slow_machine_blocks_within_a_bound(slowdown: float) -> None:
    """Up to twice as slow as at warm-up the bound holds; from there on it stretches by what is more than that."""
    taken = slowdown * cost(settled(0.0, slowdown))
    assert taken <= BOUND * max(1.0, slowdown / MAX_SLOWDOWN) * (1 + 1e-6)

"""Shadows in the core and in the shell, one case each; ``test_shadow_class`` has the laws."""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

import pytest

from batching import (
    Batch,
    Batcher,
    Completion,
    DisplacedError,
    PredictedDeadlineMissError,
    PriorityClass,
    QueueFullError,
    Request,
    Scheduler,
    SchedulerConfig,
)
from batching.config import DEFAULT_SHADOW_QUEUE_SIZE

RT, STD, BG, SHADOW = PriorityClass
Core = Scheduler[int, int]


class Engine(Protocol):
    """What the fixture ``engine`` offers."""

    calls: list[tuple[str, list[int]]]

    def __call__(self, batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        """Run a batch."""

    def release(self) -> None:
        """Let a call go on."""


def request(
    payload: int,
    priority: PriorityClass = SHADOW,
    *,
    key: str = "m",
    deadline: float = math.inf,
    share: str | None = None,
) -> Request[int]:
    """Build a request."""
    return Request(priority=priority, deadline=deadline, batch_key=key, caller="c", payload=payload, share_key=share)


def chosen(core: Core, now: float = 0.0) -> Batch[int, int]:
    """Choose a batch that must be there."""
    batch = core.choose(now)
    assert batch is not None
    return batch


def test_shadow_joins_no_batch_that_is_awaited() -> None:
    """Law 6: a batch does not grow by shadows of its key, and they go when nothing else of any key waits."""
    core: Core = Scheduler(SchedulerConfig())
    for size in (1, 64):
        core.observe_warm_up("m", size, 0.0001 * size)
    core.submit(request(1), 0.0)
    core.submit(request(2, BG), 0.0)
    core.submit(request(3, RT, key="other"), 0.0)
    core.submit(request(4), 0.0)
    assert [chosen(core).payloads for _ in range(3)] == [(3,), (2,), (1, 4)]


def test_shadow_does_not_use_the_time_for_which_others_are_held_back() -> None:
    """Law 3: while a request is held back for company the engine stays free for it; shadows are not held back."""
    core: Core = Scheduler(SchedulerConfig(max_queue_delay=0.005))
    core.submit(request(1), 0.0)
    held = core.submit(request(2, STD), 0.0)
    assert core.choose(0.0) is None
    assert core.next_wakeup(0.0) == 0.005
    core.cancel(held, 0.001)
    assert core.next_wakeup(0.001) == 0.001
    assert chosen(core, 0.001).payloads == (1,)


def test_shadows_come_one_at_a_time_where_nothing_is_known() -> None:
    """Law 6: without predictions one is the shortest batch there is."""
    core: Core = Scheduler(SchedulerConfig())
    for number in range(3):
        core.submit(request(number), 0.0)
    assert [chosen(core).payloads for _ in range(3)] == [(0,), (1,), (2,)]


def test_shadow_is_predicted_in_the_short_batches_it_will_get() -> None:
    """Law 8: ten would be in time in one batch such as others get; as shadows they come in singly, and so are refused.

    All that come in are in time.
    """
    core: Core = Scheduler(SchedulerConfig())
    for size in (1, 64):
        core.observe_warm_up("m", size, 0.002 + 0.001 * size)
    refused = 0
    for number in range(10):
        try:
            core.submit(request(number, deadline=0.019), 0.0)
        except PredictedDeadlineMissError:
            refused += 1
    now = 0.0
    while (batch := core.choose(now)) is not None:
        now += 0.003
        core.complete(batch, batch.payloads, now)
    outcomes = [type(ticket.outcome) for ticket in core.take_ended()]
    assert outcomes == [Completion] * (10 - refused)
    assert 0 < refused <= 6


def test_waiting_shadows_leave_the_door_open() -> None:
    """Law 8: with a slot idle and nothing but shadows waiting, a request is let in whatever is predicted."""
    core: Core = Scheduler(SchedulerConfig())
    core.observe_warm_up("m", 1, 1.0)
    core.submit(request(0, key="other"), 0.0)
    for number in range(3):  # the first could be an ordinary probe, and no other for as long as that is awaited
        ticket = core.submit(request(number, RT, deadline=0.1), 0.0)
        assert ticket.probe
        core.cancel(ticket, 0.0)


def test_own_limit_is_small_and_counts_nobody_elses_trouble() -> None:
    """Law 10: the 257th is refused; who sheds whom is told apart from what callers meet."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=DEFAULT_SHADOW_QUEUE_SIZE))
    assert core.statistics(0.0).shadow_outcomes == {}
    waiting = [core.submit(request(n), 0.0) for n in range(256)]
    with pytest.raises(QueueFullError):
        core.submit(request(256), 0.0)
    core.submit(request(257, BG), 0.0)
    assert isinstance(waiting[-1].outcome, DisplacedError)
    found = core.statistics(0.0)
    assert (found.refused_queue_full, found.displaced, found.submitted) == (0, 0, 1)
    counts = {name: count for name, count in found.shadow_outcomes.items() if count}
    assert counts == {"submitted": 257, "refused_queue_full": 1, "displaced": 1}
    assert (found.queue_size[SHADOW], found.queue_size[BG]) == (255, 1)


def test_shadows_make_no_caller_wait_longer_before_a_retry() -> None:
    """Law 10: the delay that a refused caller is told is that of the requests before it, which no shadow is."""

    def refused_after(shadows: int) -> float:
        core: Core = Scheduler(SchedulerConfig(max_batch_size=1, max_queue_size={RT: 9, STD: 9, BG: 4}))
        core.observe_warm_up("m", 1, 0.01)
        for number in range(shadows):
            core.submit(request(number, key="other"), 0.0)
        for number in range(4):
            core.submit(request(number, BG), 0.0)
        with pytest.raises(QueueFullError) as refused:
            core.submit(request(4, BG), 0.0)
        return refused.value.retry_after

    assert refused_after(200) == refused_after(0) == pytest.approx(0.02)


def test_shadows_share_among_themselves_only() -> None:
    """Law 12: joined to others a shadow could hurry them with its deadline, or fill their places."""
    core: Core = Scheduler(SchedulerConfig())
    first, second = (core.submit(request(1, BG, share="s", deadline=deadline), 0.0) for deadline in (9.0, 9.0))
    other = core.submit(request(2, BG, deadline=5.0), 0.0)
    shadows = [core.submit(request(1, share="s", deadline=1.0), 0.0) for _ in range(2)]
    batch = chosen(core)
    assert batch.payloads == (2, 1)
    copies = chosen(core)
    assert (len(copies), list(copies.members())) == (1, shadows)
    core.complete(batch, batch.payloads, 0.5)
    core.complete(copies, copies.payloads, 0.5)
    assert all(isinstance(ticket.outcome, Completion) for ticket in (first, second, other, *shadows))
    found = core.statistics(0.5)
    assert (found.shared, found.shadow_outcomes["shared"]) == (1, 1)


def test_shadows_earn_the_promoted_nothing() -> None:
    """Law 5: credit comes from places that somebody awaited; else background would be promoted more for shadows."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1, promotion_share=0.5, max_wait={RT: 9, STD: 9, BG: 1}))
    for number in range(20):
        core.submit(request(number), 0.0)
        core.complete(chosen(core), [0], 0.0)
    core.submit(request(1, BG), 0.0)
    core.submit(request(2, RT), 0.0)
    assert chosen(core, 2.0).payloads == (2,)


async def test_shell_runs_shadows_last_and_finishes_them_on_closing(engine: Engine) -> None:
    """Laws 1 and 2: of what arrives in one turn of the loop the shadow goes last; draining leaves none behind."""
    batcher: Batcher[int, int] = Batcher(engine)
    await batcher.start()
    for _ in range(3):
        engine.release()
    tasks = [asyncio.create_task(batcher.submit(one)) for one in (request(1), request(2, BG), request(3, RT))]
    await asyncio.gather(*tasks)
    assert [payloads for _, payloads in engine.calls] == [[3, 2], [1]]
    last = asyncio.create_task(batcher.submit(request(4)))
    await asyncio.sleep(0)
    await batcher.close()
    assert (await last).result == -4

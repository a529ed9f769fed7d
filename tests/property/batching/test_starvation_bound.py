"""Law 5: the closed form of the wait."""

import math

import hypothesis.strategies as st
from hypothesis import given, settings

from batching import PriorityClass, Request, Scheduler, SchedulerConfig, Ticket

RT, STD, BG = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
SHADOW = PriorityClass.SHADOW


@settings(max_examples=40, deadline=None)
@given(
    share=st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.9]),
    room=st.integers(1, 6),
    size=st.integers(1, 5),
    arrivals=st.lists(
        st.tuples(st.sampled_from([STD, BG]), st.sampled_from("xy"), st.integers(0, 6)), min_size=1, max_size=12
    ),
    flood=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("xy")), min_size=1, max_size=8),
    shadows=st.integers(0, 3),
)
def test_promoted_is_chosen_within_the_bound(
    share: float,
    room: int,
    size: int,
    arrivals: list[tuple[PriorityClass, str, int]],
    flood: list[tuple[int, str]],
    shadows: int,
) -> None:
    """Law 5: under a flood of urgent work of any key, promoted requests wait at most as ``promotion`` says.

    Shadows, which the law exempts, change nothing of that: they starve for as long as anything else waits.
    """
    length, patience = 1.0, 3.0
    config = SchedulerConfig(
        max_batch_size=size,
        max_wait={RT: math.inf, STD: patience, BG: 2 * patience},
        promotion_share=share,
        max_promoted=room,
        adaptive=False,
        admission=False,
    )
    core: Scheduler[int, int] = Scheduler(config)
    now = 0.0

    def submit(priority: PriorityClass, key: str, caller: str) -> Ticket[int, int]:
        request = Request(priority=priority, deadline=math.inf, batch_key=key, caller=caller, payload=0)
        return core.submit(request, now)

    bound = room * math.ceil(1 / share)
    patient: list[Ticket[int, int]] = []
    promoted_at: dict[Ticket[int, int], int] = {}
    copies: list[Ticket[int, int]] = []
    batches = 0
    pending = [(at, priority, key) for priority, key, at in arrivals]
    while pending or any(t.chosen_at == t.enqueued_at and t.outcome is None for t in patient):
        for at, priority, key in [one for one in pending if one[0] <= now]:
            pending.remove((at, priority, key))
            patient.append(submit(priority, key, "patient"))
        urgent, key = flood[batches % len(flood)]
        for _ in range(max(urgent, size - core.queued, 1)):
            if core.queued < 50:
                submit(RT, key, "flood")
        if core.statistics(now).queue_size[SHADOW] < 50:
            copies.extend(submit(SHADOW, key, "shadow") for _ in range(shadows))
        before = core.statistics(now).promoted_waiting
        batch = core.choose(now)
        assert batch is not None
        batches += 1
        assert before <= room
        for ticket in patient:
            if ticket.promoted and ticket not in promoted_at:
                promoted_at[ticket] = batches
            if ticket in batch.tickets and ticket in promoted_at:
                assert batches - promoted_at[ticket] <= bound
                if len(arrivals) <= room:  # there was room for all
                    assert now - ticket.enqueued_at <= config.max_wait[ticket.priority] + (bound + 1) * length
        assert batches < 20_000
        now += length
        core.complete(batch, batch.payloads, now)
        core.take_ended()
    assert not any(ticket.promoted or ticket.outcome for ticket in copies)


@settings(max_examples=40, deadline=None)
@given(share=st.sampled_from([0.1, 0.25, 0.5]), size=st.integers(1, 16), waiting=st.integers(50, 200))
def test_promoted_take_no_more_than_their_share(share: float, size: int, waiting: int) -> None:
    """Law 5: while urgent work waits, the promoted get their share of the places: not less, and not more."""
    config = SchedulerConfig(
        max_batch_size=size,
        max_wait={RT: math.inf, STD: 0.5, BG: 0.5},
        promotion_share=share,
        max_promoted=64,
        adaptive=False,
        admission=False,
    )
    core: Scheduler[int, int] = Scheduler(config)
    for priority, count in ((BG, waiting), (RT, 1000)):
        for _ in range(count):
            core.submit(Request(priority=priority, deadline=math.inf, batch_key="m", caller="c", payload=0), 0.0)
    served = places = 0
    for step in range(1, 1 + int(min(1000, waiting / share) / size) - 1):
        batch = core.choose(float(step))
        assert batch is not None
        places += len(batch)
        served += sum(ticket.priority is BG for ticket in batch.tickets)
        core.complete(batch, batch.payloads, step + 0.5)
        assert share * places - max(1.0, share * size) - 1 <= served <= share * places + 1

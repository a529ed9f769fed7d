"""Laws of kept refusals: only where another replica may do better, a part of what is left, and never very many."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import Call
from server.refusal import Reason
from server.rpc.refusal_hold import HELD, LONGEST, MOST, SHARE, RefusalHold

NOW = 1000.0


def call(left: float | None) -> Call:
    """Returns a call that has so many seconds left."""
    return Call(method="/x/Predict", received_at=NOW, rpc_deadline=None if left is None else NOW + left)


def hold(*, others: int) -> RefusalHold:
    """Returns one that knows of other replicas, and whose sleeps last until they are cancelled."""

    async def sleep(_seconds: float) -> None:
        await asyncio.Event().wait()

    made = RefusalHold(clock=lambda: NOW, sleep=sleep)
    made.note_others(others)
    return made


@given(st.sampled_from(sorted(HELD, key=str)), st.none() | st.floats(-1, 100), st.integers(1, 50))
def test_a_part_of_what_is_left(reason: Reason, left: float | None, others: int) -> None:
    """Never longer than `LONGEST`, nor than `SHARE` of the time left, nor negative."""
    delay = hold(others=others).delay(reason, call(left))
    assert 0 <= delay <= LONGEST
    if left is not None:
        assert delay == pytest.approx(max(0.0, min(LONGEST, SHARE * left)), abs=1e-9)


@given(st.sampled_from(sorted(Reason, key=str)), st.floats(0, 100))
def test_alone_nothing_is_kept(reason: Reason, left: float) -> None:
    """Where there is no other replica, there is nowhere else to go."""
    assert hold(others=0).delay(reason, call(left)) == 0


@given(st.sampled_from(sorted(set(Reason) - HELD, key=str)), st.floats(0, 100))
def test_what_no_replica_would_answer_goes_at_once(reason: Reason, left: float) -> None:
    """The caller's own mistakes and limits are told without delay."""
    kept = hold(others=3)
    assert kept.delay(reason, call(left)) == 0
    assert not kept.is_used


def test_replicas_are_counted_only_where_it_matters() -> None:
    """A refusal asks for the others' number; being told settles it."""
    kept = hold(others=0)
    kept.delay(Reason.QUEUE_FULL, call(1))
    assert kept.is_used
    kept.note_others(1)
    assert not kept.is_used


async def test_those_who_are_kept_are_counted_and_bounded() -> None:
    """Above `MOST` refusals go at once; whoever gives up is counted no more."""
    kept = hold(others=1)
    tasks = [asyncio.create_task(kept.hold(Reason.QUEUE_FULL, call(1))) for _ in range(MOST)]
    await asyncio.sleep(0)
    assert kept.held_count == MOST
    await kept.hold(Reason.QUEUE_FULL, call(1))  # returns at once
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert kept.held_count == 0


def test_the_settings_say_how_long() -> None:
    """Whoever wants every refusal at once gets it, in running replicas, too."""
    longest = 0.2
    kept = RefusalHold(longest=lambda: longest, clock=lambda: NOW)
    kept.note_others(1)
    assert kept.delay(Reason.QUEUE_FULL, call(100)) == 0.2
    longest = 0.0
    assert kept.delay(Reason.QUEUE_FULL, call(100)) == 0
    assert kept.delay(Reason.QUEUE_FULL, call(None)) == 0

"""Laws of work beside a service: it gives way, it leaves no trace, and what it raises arrives."""

import os
import sys
import threading
import time

import pytest

from model.pace import NICENESS, Pace, TurnTaking, run_beside

linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")


def niceness() -> int:
    """Of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_every_second_turn_is_the_others() -> None:
    """Each pause is as long as the slice before it, whatever the pauses themselves took."""
    now, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds + 0.25  # sleeps are never exact

    turns = TurnTaking(lambda: now, sleep)
    for seconds in (0.5, 2.0, 0.0):
        now += seconds
        turns.pause()
    assert slept == [0.5, 2.0, 0.0]


@linux
def test_single_threaded_work_has_low_priority_and_its_caller_has_not() -> None:
    """The work's thread, and whatever it starts, is of low priority; nobody else is, then or later."""
    before = niceness()
    seen = run_beside(lambda pace: (niceness(), threading.get_native_id(), pace), single_threaded=True)
    assert seen[0] >= NICENESS
    assert seen[1] != threading.get_native_id()
    assert niceness() == before
    assert seen[2].clock is time.thread_time


def test_other_work_keeps_the_priority_and_takes_turns() -> None:
    """Threads that it starts compute for the service later: they must not inherit a low priority."""

    def work(pace: Pace) -> tuple[int, int, bool]:
        pace.pause()
        return niceness(), threading.get_native_id(), pace.clock is time.perf_counter

    assert run_beside(work, single_threaded=False) == (niceness(), threading.get_native_id(), True)


@pytest.mark.parametrize("single_threaded", [True, False])
def test_what_the_work_raises_arrives(single_threaded: bool) -> None:
    """As it was raised."""

    def fail(pace: Pace) -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        run_beside(fail, single_threaded=single_threaded)

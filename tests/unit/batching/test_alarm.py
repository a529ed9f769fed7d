"""The one timer, on a loop that only records."""

import asyncio
import math
from collections.abc import Callable
from typing import cast

from batching.alarm import Alarm


class Timer:
    """A recorded timer."""

    def __init__(self, delay: float, callback: Callable[[], None]) -> None:
        self.delay = delay
        self.ring = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not ring."""
        self.cancelled = True


class RecordingLoop:
    """Records what is to be called later."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Record a timer."""
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]


def alarm(callback: Callable[[], None] = lambda: None) -> tuple[Alarm, RecordingLoop]:
    """Build an alarm at time 10."""
    loop = RecordingLoop()
    return Alarm(cast("asyncio.AbstractEventLoop", loop), lambda: 10.0, callback), loop


def test_earliest_moment_wins() -> None:
    """One timer is armed, at the earliest moment asked for."""
    one, loop = alarm()
    for when in (15.0, 17.0, math.inf, 12.0):
        one.arm(when)
    assert [(timer.delay, timer.cancelled) for timer in loop.timers] == [(5.0, True), (2.0, False)]


def test_moment_that_has_passed_rings_soon_but_not_at_once() -> None:
    """A remainder that a loop rounds away, or a standing clock, cannot make it spin."""
    one, loop = alarm()
    one.arm(9.0)
    assert [timer.delay for timer in loop.timers] == [0.001]


def test_after_ringing_it_can_be_armed_again() -> None:
    """An alarm that has rung is armed for nothing."""
    rung: list[bool] = []
    one, loop = alarm(lambda: rung.append(True))
    one.arm(12.0)
    loop.timers[0].ring()
    one.arm(13.0)
    assert rung == [True]
    assert [timer.delay for timer in loop.timers] == [2.0, 3.0]


def test_disarmed_it_stays_silent() -> None:
    """After disarming nothing is left to ring."""
    one, loop = alarm()
    one.disarm()
    one.arm(12.0)
    one.disarm()
    assert [timer.cancelled for timer in loop.timers] == [True]

"""Laws of the event loop's lag: what is measured is how late a look came, and the greatest is told for a while."""

import asyncio

import pytest

from server.health.loop_lag import INTERVAL, REMEMBERED, LoopLag


class FakeTime:
    """A clock, and sleeps that last as long as they should and then as much longer as the test says.

    Attributes:
        now: Monotonic seconds.
    """

    def __init__(self, *late: float) -> None:
        self.now = 1000.0
        self._late = list(late)

    def clock(self) -> float:
        """Tells the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Lets time pass; the last sleep is cancelled."""
        if not self._late:
            raise asyncio.CancelledError
        self.now += seconds + self._late.pop(0)


async def measured(time: FakeTime) -> tuple[LoopLag, list[float]]:
    """Returns a measurement after all its sleeps, and the lags that it told."""
    told: list[float] = []
    lag = LoopLag(on_lag=told.append, clock=time.clock, sleep=time.sleep)
    with pytest.raises(asyncio.CancelledError):
        await lag.run()
    return lag, told


async def test_a_lag_is_the_time_beyond_the_sleep() -> None:
    """Each is told once, in order; one that wakes early is none."""
    lag, told = await measured(FakeTime(0.0, 0.25, 0.001, -0.01))
    assert told == pytest.approx([0.0, 0.25, 0.001, 0.0])
    assert (lag.latest, lag.greatest) == pytest.approx((0.0, 0.25))


async def test_the_greatest_is_forgotten_in_time() -> None:
    """Then the greatest of those after it takes its place."""
    time = FakeTime(0.1, 0.5, 0.2, 0.3)
    lag, _ = await measured(time)
    end = time.now
    assert lag.greatest == pytest.approx(0.5)
    time.now = end - (INTERVAL + 0.2) - (INTERVAL + 0.3) + REMEMBERED + 0.001
    assert lag.greatest == pytest.approx(0.3)
    time.now = end + REMEMBERED + 0.001
    assert lag.greatest == 0.0


async def test_a_look_that_is_overdue_counts_already() -> None:
    """Whoever looks from another thread sees a loop that has stood still for long, though it has told nothing yet."""
    time = FakeTime()
    seen: list[float] = []

    async def sleep(seconds: float) -> None:
        time.now += seconds + 3.0
        seen.append(lag.greatest)
        raise asyncio.CancelledError

    lag = LoopLag(clock=time.clock, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await lag.run()
    assert seen == pytest.approx([3.0])
    assert lag.greatest == 0.0, "one that has stopped is not overdue"


async def test_little_is_remembered() -> None:
    """However long it runs: no more than was measured in the time that counts."""
    count = 5 * round(REMEMBERED / INTERVAL)
    lag, told = await measured(FakeTime(*(1.0 / (number + 1) for number in range(count))))
    assert len(told) == count
    assert len(lag._greatest) <= REMEMBERED / INTERVAL

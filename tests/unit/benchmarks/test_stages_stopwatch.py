"""Laws of the stopwatch: what it times does the same as before, and the sums are what the clocks said."""

import itertools

import pytest

from benchmarks.stages.stopwatch import Spot, Stopwatch, Sum


class Subject:
    """Has functions to be timed."""

    def double(self, value: int) -> int:
        """Returns twice the value."""
        return 2 * value

    async def triple(self, value: int) -> int:
        """Returns three times the value, without waiting."""
        return 3 * value

    def fail(self) -> None:
        """Fails."""
        raise KeyError("told")


def stopwatch() -> Stopwatch:
    """Returns a stopwatch on whose clocks each reading is 10 ns (processor) and 100 ns (wall) after the one before."""
    cpu, wall = itertools.count(0, 10), itertools.count(0, 100)
    return Stopwatch(cpu_clock=lambda: next(cpu), wall_clock=lambda: next(wall))


async def test_timed_functions_do_what_they_did() -> None:
    """Results and errors come through, of coroutines too, and every call counts once, even one that failed."""
    watch = stopwatch()
    spots = [Spot("one", Subject, "double"), Spot("one", Subject, "triple"), Spot("two", Subject, "fail")]
    with watch.running(spots):
        assert Subject().double(4) == 8
        assert await Subject().triple(value=4) == 12
        with pytest.raises(KeyError, match="told"):
            Subject().fail()
    assert watch.sums == {"one": Sum(2, 20, 200), "two": Sum(1, 10, 100)}


async def test_nothing_is_timed_afterwards() -> None:
    """Once the context has ended the functions are the ones that were there before."""
    before = Subject.double, Subject.triple
    watch = stopwatch()
    with watch.running([Spot("one", Subject, "double"), Spot("one", Subject, "triple")]):
        assert before[0] is not Subject.double
    assert (Subject.double, Subject.triple) == before
    Subject().double(1)
    assert watch.sums == {"one": Sum()}


def test_stretches_and_marks() -> None:
    """A stretch has both times; a wait that is told from outside has wall time alone."""
    watch = stopwatch()
    watch.begin("gather")
    watch.finish("gather")
    watch.mark("computed")
    watch.since("computed", stage="loop wakes")
    watch.add("queue", wall=0.5)
    assert watch.sums["gather"] == Sum(1, 10, 100)
    assert watch.sums["loop wakes"].wall == pytest.approx(100)
    assert watch.sums["queue"] == Sum(1, 0, 5e8)


def test_the_timing_itself_is_taken_away() -> None:
    """What an empty stretch takes is subtracted once a stretch, never below zero, and not from waits."""
    watch = stopwatch()
    for _ in range(3):
        watch.begin("gather")
        watch.finish("gather")
    watch.add("queue", wall=0.5)
    cleared = watch.cleared(Sum(1, 4, 40))
    assert cleared["gather"] == Sum(3, 18, 180)
    assert cleared["queue"] == Sum(1, 0, 5e8)
    assert watch.cleared(Sum(1, 50, 500))["gather"] == Sum(3, 0, 0)

"""Times functions where they are, without changing them: processor and wall time by stage.

Owns the sums. A stage is one or several stretches that run within one thread and do not contain each other; what of a
thread's time is in none of them is found by subtraction. Reading the clocks takes a quarter of a microsecond: what an
empty stretch seems to take is subtracted from every one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

_EMPTY_RUNS = 2000


@dataclasses.dataclass(slots=True)
class Sum:
    """What all stretches of a stage took, in nanoseconds."""

    count: int = 0
    cpu: float = 0.0
    wall: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """A function that belongs to a stage.

    Attributes:
        stage: Name of the stage.
        owner: Module or class that the function is looked up in when it is called.
        name: Of the function there.
    """

    stage: str
    owner: Any
    name: str


class Stopwatch:
    """Sums up what stages take.

    Args:
        cpu_clock: The running thread's processor time, in nanoseconds.
        wall_clock: Nanoseconds.
    """

    def __init__(
        self,
        *,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
        wall_clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.sums: dict[str, Sum] = {}
        self._cpu_clock = cpu_clock
        self._wall_clock = wall_clock
        self._begun: dict[str, tuple[int, int]] = {}
        self._marks: dict[str, int] = {}

    @contextlib.contextmanager
    def running(self, spots: Sequence[Spot]) -> Iterator[None]:
        """Times the functions at these spots while the context is entered."""
        with contextlib.ExitStack() as stack:
            for spot in spots:
                function = inspect.getattr_static(spot.owner, spot.name)
                stack.enter_context(mock.patch.object(spot.owner, spot.name, self.timed(spot.stage, function)))
            yield

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function that does the same and is timed; a coroutine function must not wait for anything."""
        total = self._sum(stage)
        cpu_clock, wall_clock = self._cpu_clock, self._wall_clock

        def add(cpu: int, wall: int) -> None:
            total.cpu += cpu_clock() - cpu
            total.wall += wall_clock() - wall
            total.count += 1

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
                wall, cpu = wall_clock(), cpu_clock()
                try:
                    return await function(*args, **kwargs)
                finally:
                    add(cpu, wall)

            return timed_coroutine

        @functools.wraps(function)
        def timed_function(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = wall_clock(), cpu_clock()
            try:
                return function(*args, **kwargs)
            finally:
                add(cpu, wall)

        return timed_function

    def begin(self, stage: str) -> None:
        """Begins a stretch that `finish` ends, in the same thread."""
        self._begun[stage] = self._wall_clock(), self._cpu_clock()

    def finish(self, stage: str) -> None:
        """Ends a stretch."""
        total = self._sum(stage)
        wall, cpu = self._begun.pop(stage)
        total.cpu += self._cpu_clock() - cpu
        total.wall += self._wall_clock() - wall
        total.count += 1

    def mark(self, name: str) -> None:
        """Remembers the moment; `since` tells how long ago it was, in whatever thread."""
        self._marks[name] = self._wall_clock()

    def since(self, name: str, *, stage: str) -> None:
        """Adds the wall time since a mark to a stage."""
        self.add(stage, wall=(self._wall_clock() - self._marks[name]) / 1e9)

    def add(self, stage: str, *, wall: float) -> None:
        """Adds seconds that somebody else has measured."""
        total = self._sum(stage)
        total.wall += wall * 1e9
        total.count += 1

    def cleared(self, empty: Sum) -> dict[str, Sum]:
        """Returns the sums without what the timing itself takes.

        Args:
            empty: See `empty_stretch`.
        """
        return {
            stage: Sum(
                total.count,
                # What has no processor time at all is a wait that was measured from outside.
                max(0.0, total.cpu - total.count * empty.cpu) if total.cpu else 0.0,
                max(0.0, total.wall - total.count * empty.wall) if total.cpu else total.wall,
            )
            for stage, total in self.sums.items()
        }

    def _sum(self, stage: str) -> Sum:
        return self.sums.setdefault(stage, Sum())


def empty_stretch() -> Sum:
    """Returns what one stretch with nothing in it seems to take."""
    watch = Stopwatch()
    empty = watch.timed("empty", lambda: None)
    for _ in range(_EMPTY_RUNS):
        empty()
    total = watch.sums["empty"]
    return Sum(1, total.cpu / total.count, total.wall / total.count)

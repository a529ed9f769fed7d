"""An event loop whose clock jumps to the next timer when nothing is ready: seconds of waiting take no time at all."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines that only sleep and wait for each other; not for what waits for sockets or threads."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        """Returns the virtual time in seconds; it begins at zero."""
        return self._now

    def _run_once(self) -> None:
        # Private parts of asyncio's loop: it has no seam for a clock, and uvloop's tests do likewise.
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in virtual time and returns what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

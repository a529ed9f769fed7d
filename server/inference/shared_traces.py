"""Which sampled requests share an execution: its engine call is a part of each one's trace.

The scheduler hands one piece of work to the engine, whoever joined it. Written on the event loop, read in the engine's
threads: each step on the dictionary and on the lists is one that Python does not divide.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from server.trace_context import TraceContext

Key = tuple[str, str]
"""Model's sha256, and what the requests share by."""


class SharedTraces:
    """The contexts of sampled requests that wait for a shared execution."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[TraceContext]] = {}

    @contextlib.contextmanager
    def waiting(self, key: Key, trace: TraceContext) -> Iterator[None]:
        """Counts a request among those that wait while the context is entered."""
        traces = self._waiting.setdefault(key, [])
        traces.append(trace)
        try:
            yield
        finally:
            traces.remove(trace)
            if not traces:
                self._waiting.pop(key, None)

    def of(self, key: Key) -> tuple[TraceContext, ...]:
        """Returns the contexts of those that wait now. Any thread."""
        return tuple(self._waiting.get(key, ()))

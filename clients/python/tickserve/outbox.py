"""A bounded hand-over of messages from any number of threads to the one thread in which gRPC sends them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tickserve.errors import StreamClosedError

__all__ = ("Outbox",)

M = TypeVar("M")


class Outbox(Generic[M]):
    """Messages that wait to be sent, at most `size`; gRPC iterates over it.

    Args:
        size: How many may wait, at least 1; whoever puts more is held.
        make_heartbeat: Makes what is sent after a silence.
    """

    def __init__(self, size: int, make_heartbeat: Callable[[], M]) -> None:
        self._size = size
        self._make_heartbeat = make_heartbeat
        self._waiting: deque[M] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False
        self.heartbeat_interval: float | None = None
        """Seconds of silence after which a heartbeat is sent; None: never."""

    def put(self, message: M) -> None:
        """Adds a message; waits while the box is full.

        Raises:
            StreamClosedError: No message can be sent any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._size or self._closed)
            if self._closed:
                raise StreamClosedError("the tick stream has ended")
            if self._finished:
                raise StreamClosedError("finish() was called: nothing more can be sent")
            self._waiting.append(message)
            self._changed.notify_all()

    def finish(self) -> None:
        """Lets the iteration end once all has been sent."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the iteration at once, and every `put` that waits."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[M]:
        """Yields the messages, and a heartbeat after each silence."""
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed or self._finished:
                        return
                    if not self._changed.wait(self.heartbeat_interval):
                        self._waiting.append(self._make_heartbeat())
                message = self._waiting.popleft()
                self._changed.notify_all()
            yield message

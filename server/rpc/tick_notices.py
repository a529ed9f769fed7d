"""What a tick stream is told beside its answers: what is durable, what is lost, that it is to go elsewhere.

Owns that a slow reader costs no memory: of a durable symbol only the newest word waits, and a symbol is lost once. Who
tells something waits for nothing: a task of the stream's asks for the places.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from server.rpc.response_stream import ResponseStream

T = TypeVar("T")


class TickNotices(Generic[T]):
    """The notices of one stream that wait to be sent.

    Args:
        responses: Of the stream.
        write_durable: Makes the response that tells a symbol and what is durable of it.
    """

    def __init__(self, responses: ResponseStream[T], write_durable: Callable[[str, int], T]) -> None:
        self._responses = responses
        self._write_durable = write_durable
        self._others: deque[T] = deque()
        self._durable: dict[str, int] = {}
        self._is_sending = False

    def durable(self, symbol: str, sequence: int) -> None:
        """Tells that a symbol up to a sequence number survives the loss of this replica."""
        self._durable[symbol] = sequence
        self._start()

    def lost(self, symbol: str, response: T) -> None:
        """Tells that another stream has a symbol; what was durable of it does not matter any more."""
        self._durable.pop(symbol, None)
        self.tell(response)

    def tell(self, response: T) -> None:
        """Tells something else, once."""
        self._others.append(response)
        self._start()

    def _start(self) -> None:
        if not self._is_sending:
            self._is_sending = True
            self._responses.spawn(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._others or self._durable:
                await self._responses.reserve()
                if self._others:
                    self._responses.put(self._others.popleft())
                else:  # there is one still: what is lost leaves another notice in its place
                    symbol = next(iter(self._durable))
                    self._responses.put(self._write_durable(symbol, self._durable.pop(symbol)))
        finally:
            self._is_sending = False

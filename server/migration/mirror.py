"""The mirror's second half: answered requests wait here to be put to the new service, and its answers are compared.

Owns the bounds: what does not fit is dropped and counted, so callers never wait for it. Knows no HTTP: how the new
service is asked is given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from server.migration.agreement import Agreement
from server.migration.content_coding import decoded
from server.migration.original_answers import UnreadableAnswerError, differences, results_of

OK = 200


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request that the old service has answered.

    Attributes:
        path: One of the compared ones.
        headers: That go with the copy.
        body: Of the request.
        answer: The old service's body, as it was sent.
        coding: Its content coding; empty: none.
        seconds: That it took.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    answer: bytes
    coding: str = ""
    seconds: float

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.body) + len(self.answer)


@dataclass(frozen=True, kw_only=True)
class NewAnswer:
    """What the new service said.

    Attributes:
        status: HTTP status.
        body: Its body.
        seconds: That it took.
    """

    status: int
    body: bytes
    seconds: float


Ask = Callable[[Exchange], Awaitable[NewAnswer]]


class AskError(Exception):
    """The new service gave no answer. The message is a short word for its kind, such as `timeout`."""


class Mirror:
    """Puts exchanges to the new service, a few at a time, oldest first.

    Args:
        ask: Asks it; raises `AskError` where it does not answer.
        agreement: Counts.
        max_waiting: Most exchanges that wait.
        max_bytes: Most bytes that they hold together, those being put included.
        max_answer: Most bytes of an answer whose content coding is taken off.
        workers: How many are put at once.
    """

    def __init__(
        self,
        ask: Ask,
        agreement: Agreement,
        *,
        max_waiting: int = 256,
        max_bytes: int = 64 * 2**20,
        max_answer: int = 8 * 2**20,
        workers: int = 4,
    ) -> None:
        self._ask = ask
        self._agreement = agreement
        self._waiting: asyncio.Queue[Exchange] = asyncio.Queue(max_waiting)
        self._max_bytes = max_bytes
        self._max_answer = max_answer
        self._bytes = 0
        self._worker_count = workers
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the workers in the running loop."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._worker_count)]

    def offer(self, exchange: Exchange) -> bool:
        """Takes an exchange if there is room, else counts it as dropped; never waits."""
        if self._waiting.full() or self._bytes + exchange.size > self._max_bytes:
            self._agreement.dropped += 1
            return False
        self._waiting.put_nowait(exchange)
        self._bytes += exchange.size
        return True

    async def close(self, patience: float) -> None:
        """Ends the workers, once all is compared or `patience` seconds are over; what is left counts as dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._waiting.join()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._agreement.dropped += 1

    async def _work(self) -> None:
        while True:
            exchange = await self._waiting.get()
            try:
                await self._compare(exchange)
            except asyncio.CancelledError:
                self._agreement.dropped += 1
                raise
            finally:
                self._bytes -= exchange.size
                self._waiting.task_done()

    async def _compare(self, exchange: Exchange) -> None:
        try:
            answer = await self._ask(exchange)
        except AskError as error:
            self._agreement.new_failed(str(error))
            return
        try:
            old = decoded(exchange.answer, exchange.coding, most=self._max_answer)
        except UnreadableAnswerError:
            self._agreement.unreadable()
            return
        count(self._agreement, exchange.path, old, exchange.seconds, answer)


def count(agreement: Agreement, path: str, old: bytes, old_seconds: float, new: NewAnswer) -> None:
    """Compares an answer of the new service with the old one's, and counts what comes of it.

    Args:
        agreement: Counts.
        path: One of the compared ones.
        old: The old service's body.
        old_seconds: That it took.
        new: The new service's answer.
    """
    if new.status != OK:
        agreement.new_failed(str(new.status))
        return
    try:
        found = differences(results_of(path, old), results_of(path, new.body))
    except UnreadableAnswerError:
        agreement.unreadable()
        return
    agreement.compared(found, old_seconds=old_seconds, new_seconds=new.seconds)

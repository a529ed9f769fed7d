"""Unary calls through the client library as it is shipped, with its retries; each ends in one record."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.chaos.oracle import values_of
from benchmarks.chaos.plan import Asked
from benchmarks.chaos.record import End, Record
from benchmarks.chaos.windows import Windows, unary_key
from tickserve import AsyncClient, Prediction, TickserveError

# A call that outlives its deadline by so much has been forgotten by the library: silence of the worst kind.
_FORGOTTEN = 10.0
_LEAST_TIMEOUT = 0.001


class UnaryCalls:
    """Sends on a schedule, or keeps a number of calls under way, until told to stop.

    Args:
        clients: Take turns.
        windows: Makes what is asked.
        seeds: Never the same one twice.
        keep: Takes the records.
    """

    def __init__(
        self, clients: Sequence[AsyncClient], windows: Windows, seeds: Iterator[int], keep: Callable[[Record], None]
    ) -> None:
        self._clients = itertools.cycle(clients)
        self._windows = windows
        self._seeds = seeds
        self._keep = keep
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_schedule(self, asked: Asked, stop: asyncio.Event) -> None:
        """Sends one class's calls; late ones count from when they were due."""
        begin = time.monotonic()
        for count in itertools.count():
            due = begin + count / asked.rate
            if (pause := due - time.monotonic()) > 0:
                await _pause(stop, pause)
            if stop.is_set():
                return
            task = asyncio.create_task(self._call(asked, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def one_after_another(self, asked: Asked, stop: asyncio.Event) -> None:
        """Sends a call whenever the one before has ended."""
        while not stop.is_set():
            await self._call(asked, time.monotonic())

    async def ended(self) -> None:
        """Waits for the calls under way, which all have deadlines."""
        await asyncio.gather(*self._tasks)

    async def _call(self, asked: Asked, due: float) -> None:
        key = unary_key(next(self._seeds))
        deadline = due + asked.timeout
        timeout = max(_LEAST_TIMEOUT, deadline - time.monotonic())
        try:
            async with asyncio.timeout(timeout + _FORGOTTEN):
                prediction = await next(self._clients).predict(
                    self._windows.window(key), priority=asked.priority, timeout=timeout, bypass_cache=True
                )
        except TickserveError as error:
            self._keep(refused(asked.priority, key, due, deadline, error))
        except TimeoutError:
            self._keep(Record(asked.priority, key, due, deadline, time.monotonic(), End.SILENT, "FORGOTTEN"))
        else:
            self._keep(answered(asked.priority, key, due, deadline, prediction))


def answered(kind: str, key: str, sent_at: float, deadline: float, prediction: Prediction) -> Record:
    """Returns the record of an answer that has just come."""
    return Record(
        kind,
        key,
        sent_at,
        deadline,
        time.monotonic(),
        End.ANSWERED,
        values=values_of(prediction),
        digest=prediction.input.sha256,
        replica=prediction.execution.replica_id,
    )


def refused(kind: str, key: str, sent_at: float, deadline: float, error: TickserveError) -> Record:
    """Returns the record of an error that has just come; without a reason it is silence."""
    end = End.REFUSED if error.reason else End.SILENT
    return Record(kind, key, sent_at, deadline, time.monotonic(), end, error.reason or error.code.name)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

"""Tick streams through the client library as it is shipped; each tick ends in one record."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from benchmarks.chaos.record import End, Record
from benchmarks.chaos.unary_calls import answered, refused
from benchmarks.chaos.windows import HISTORY, Windows, tick_key
from tickserve import AsyncClient, AsyncTickStream, Gap, TickEvent, TickFailure, TickPrediction, TickserveError

_OPEN_TIMEOUT = 60.0
# Seconds for what is due at the end, resuming included.
_FINISH = 20.0
# Between the end of a stream that could not go on and the next one.
_AGAIN = 1.0


class TickCalls:
    """One stream's symbols: fed on a schedule, listened to, opened anew under other names where it ends for good.

    Args:
        client: Whose stream it is.
        symbols: Numbers.
        windows: Makes the bars.
        interval: Seconds between two ticks of a symbol.
        keep: Takes the records.
    """

    def __init__(
        self,
        client: AsyncClient,
        symbols: Sequence[int],
        windows: Windows,
        *,
        interval: float,
        keep: Callable[[Record], None],
    ) -> None:
        self._client = client
        self._numbers = symbols
        self._windows = windows
        self._interval = interval
        self._keep = keep
        # By name and sequence, when each tick was sent that has not ended.
        self._waiting: dict[tuple[str, int], float] = {}
        self._symbols: dict[str, int] = {}
        self.reconnect_count = 0
        self.lost_streams: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Feeds and listens until told to stop, then waits for what is due; what has not ended then was silence."""
        generation = 0
        while not stop.is_set():
            self._symbols = {f"C{number}.{generation}": number for number in self._numbers}
            generation += 1
            try:
                await self._session(stop)
            except (TickserveError, TimeoutError) as error:
                self.lost_streams.append(str(error) or type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN):
                        await stop.wait()
            self._give_up()

    async def _session(self, stop: asyncio.Event) -> None:
        stream = self._client.stream_ticks(self._symbols, open_timeout=_OPEN_TIMEOUT)
        async with stream:
            listening = asyncio.create_task(self._listen(stream))
            feeding = asyncio.create_task(self._feed(stream, stop))
            stopping = asyncio.create_task(_until(stop))
            try:
                await asyncio.wait({listening, feeding, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    async with asyncio.timeout(_FINISH):
                        await feeding
                        await stream.finish()
                        await listening
                else:
                    for task in (listening, feeding):
                        if task.done():
                            task.result()
            finally:
                self.reconnect_count += stream.reconnect_count
                for task in (listening, feeding, stopping):
                    task.cancel()
                await asyncio.gather(listening, feeding, stopping, return_exceptions=True)

    async def _feed(self, stream: AsyncTickStream, stop: asyncio.Event) -> None:
        for name, number in self._symbols.items():
            await stream.history(name, [self._windows.bar(number, index) for index in range(HISTORY)])
        sequence = 0
        begin = time.monotonic()
        while not stop.is_set():
            sequence += 1
            for name, number in self._symbols.items():
                self._waiting[name, sequence] = time.monotonic()
                await stream.tick(name, self._windows.bar(number, HISTORY + sequence - 1))
            due = begin + sequence * self._interval
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()

    async def _listen(self, stream: AsyncTickStream) -> None:
        async for event in stream:
            self._take(event)

    def _take(self, event: TickEvent) -> None:
        match event:
            case TickPrediction(symbol=name, sequence=sequence, prediction=prediction):
                sent_at = self._waiting.pop((name, sequence), None)
                key = tick_key(self._symbols[name], sequence)
                if sent_at is None:
                    # A second answer to one tick is as wrong as a wrong one: the oracle refuses it by its digest.
                    twice = answered("tick", key, time.monotonic(), 0.0, prediction)
                    self._keep(twice._replace(digest="answered twice"))
                else:
                    self._keep(answered("tick", key, sent_at, 0.0, prediction))
            case TickFailure(symbol=name, sequence=sequence, error=error):
                sent_at = self._waiting.pop((name, sequence), None)
                if sent_at is not None:
                    self._keep(refused("tick", tick_key(self._symbols[name], sequence), sent_at, 0.0, error))
            case Gap(symbol=name, first_missing_sequence=first, last_missing_sequence=last):
                for sequence in range(first, last + 1):
                    sent_at = self._waiting.pop((name, sequence), None)
                    if sent_at is not None:
                        self._keep(self._ended(name, sequence, sent_at, End.REFUSED, "GAP"))
            case _:
                pass

    def _give_up(self) -> None:
        for (name, sequence), sent_at in self._waiting.items():
            self._keep(self._ended(name, sequence, sent_at, End.SILENT, "NOTHING"))
        self._waiting.clear()

    def _ended(self, name: str, sequence: int, sent_at: float, end: End, reason: str) -> Record:
        return Record("tick", tick_key(self._symbols[name], sequence), sent_at, 0.0, time.monotonic(), end, reason)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()

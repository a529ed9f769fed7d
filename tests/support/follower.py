"""A tick stream of the client library's that hears all there is: fed bar by bar, held against the training windows."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Self

import numpy as np

from tests.support.registry import DATA, real_windows
from tickserve import AsyncClient, Bar, Drain, Durable, Gap, ResumePolicy, TickEvent, TickFailure, TickPrediction
from tickserve.cli.bar_file import read_bars

NEED = 120
# Busy machines are slow; nothing here waits that long where all is well.
PATIENCE = 150


@cache
def client_bars(count: int) -> tuple[Bar, ...]:
    """Returns the first of the real bars, oldest first."""
    return tuple(itertools.islice(read_bars(DATA), count))


@cache
def digests(count: int = 512) -> tuple[str, ...]:
    """Returns the sha256 of the first windows of the real bars, as the training code makes them.

    The first window is full with bar `NEED`.
    """
    return tuple(hashlib.sha256(np.ascontiguousarray(window).tobytes()).hexdigest() for window in real_windows(count))


class Follower:
    """Streams real bars, each symbol from a bar of its own on; the first 119 are history, so each tick is due.

    Args:
        client: Whose stream it is.
        starts: By symbol, the number of its first bar, from 0.
        predict_every: A prediction is due at every n-th bar.
        resume: How it comes back.

    Attributes:
        events: All that was heard, but for predictions and `Durable`.
        predictions: By symbol, in the order in which they were heard.
        durable: By symbol, the newest word.
        fed: Ticks of each symbol so far.
    """

    def __init__(
        self,
        client: AsyncClient,
        starts: Mapping[str, int],
        *,
        predict_every: int = 1,
        resume: ResumePolicy | None = None,
    ) -> None:
        self.stream = client.stream_ticks(
            starts, predict_every=predict_every, open_timeout=60, resume=resume or ResumePolicy(max_delay=0.5)
        )
        self._starts = starts
        self._predict_every = predict_every
        self.events: list[TickEvent] = []
        self.predictions: dict[str, list[TickPrediction]] = {symbol: [] for symbol in starts}
        self.durable = dict.fromkeys(starts, 0)
        self.fed = 0

    async def __aenter__(self) -> Self:
        """Opens the stream, fills the windows and begins to listen."""
        await self.stream.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        for symbol, start in self._starts.items():
            await self.stream.history(symbol, client_bars(start + NEED - 1)[start:])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves at once."""
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        await self.stream.__aexit__(kind, error, trace)

    async def feed(self, count: int) -> None:
        """Hands over the next bars of each symbol."""
        for _ in range(count):
            for symbol, start in self._starts.items():
                index = start + NEED - 1 + self.fed
                await self.stream.tick(symbol, client_bars(index + 1)[index])
            self.fed += 1

    @property
    def count(self) -> int:
        """Predictions that were heard."""
        return sum(map(len, self.predictions.values()))

    @property
    def replica_id(self) -> str:
        """Which replica the newest prediction came from; empty before the first."""
        return self._replica_id

    _replica_id = ""

    def due(self) -> Sequence[int]:
        """Returns the numbers of the ticks so far at which a prediction is due, of each symbol."""
        # The window's rows begin with bar 61; the 119th, the last of the history, is row 59.
        first_row = NEED // 2
        return [n for n in range(1, self.fed + 1) if (first_row - 1 + n) % self._predict_every == 0]

    async def until(self, look: Callable[[], object]) -> None:
        """Returns when `look` gives something truthy.

        Raises:
            Exception: What ended the stream meanwhile.
            TimeoutError: It never did.
        """
        async with asyncio.timeout(PATIENCE):
            while not look():
                if self._listening.done():
                    self._listening.result()
                    raise EOFError("the stream ended")
                await asyncio.sleep(0.01)

    async def until_answered(self) -> None:
        """Returns when so many predictions have been heard as are due by now."""
        await self.until(lambda: self.count >= len(self._starts) * len(self.due()))

    async def finish(self) -> None:
        """Says that nothing more comes and hears the rest."""
        await self.stream.finish()
        async with asyncio.timeout(PATIENCE):
            await self._listening

    def check(self) -> None:
        """Asserts that each due prediction came once, in order, from exactly the window that training would use."""
        assert [event for event in self.events if isinstance(event, Gap | TickFailure)] == []
        for symbol, start in self._starts.items():
            heard = [(one.sequence, one.prediction.input.sha256) for one in self.predictions[symbol]]
            assert heard == [(number, digests()[start + number - 1]) for number in self.due()], symbol

    @property
    def was_asked_to_leave(self) -> bool:
        """Whether a replica has asked it to go elsewhere."""
        return any(isinstance(event, Drain) for event in self.events)

    async def _listen(self) -> None:
        async for event in self.stream:
            match event:
                case TickPrediction(symbol=symbol, prediction=prediction):
                    self.predictions[symbol].append(event)
                    self._replica_id = prediction.execution.replica_id
                case Durable(symbol=symbol, sequence=sequence):
                    self.durable[symbol] = max(self.durable[symbol], sequence)
                case _:
                    self.events.append(event)

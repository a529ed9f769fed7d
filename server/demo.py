"""The demonstration's traffic: real bars through `StreamTicks`, and `Predict` at all three priorities beside it.

A client of the service like any other: it talks gRPC and knows nothing of the server's inside. Owns the workload and
its tally; what it looks like on a terminal is `commands.demo`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
from collections import Counter, deque
from collections.abc import Sequence

from tickserve import (
    AsyncClient,
    Bar,
    OverloadedError,
    Prediction,
    Priority,
    TickFailure,
    TickPrediction,
    TickserveError,
)

SYMBOL = "EURUSD"
_TIMEOUTS = {Priority.REAL_TIME: 0.5, Priority.STANDARD: 2.0, Priority.BACKGROUND: 10.0}
_PAUSE = 0.1
_SHOWN_BARS = 12


@dataclasses.dataclass(slots=True)
class Tally:
    """What the demonstration has seen so far.

    Attributes:
        bars_sent: Bars of the replay sent.
        latest: The newest answered bars with their predictions, for display.
        latencies: Seconds from sending to answer, per kind: `StreamTicks`, or the class of a `Predict`.
        errors: Errors by reason.
    """

    bars_sent: int = 0
    latest: deque[tuple[Bar, Prediction]] = dataclasses.field(default_factory=lambda: deque(maxlen=_SHOWN_BARS))
    latencies: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    errors: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def predictions(self) -> int:
        """Answers received in all."""
        return sum(map(len, self.latencies.values()))

    def answered(self, kind: str, seconds: float) -> None:
        """Counts one answer."""
        self.latencies.setdefault(kind, []).append(seconds)

    def percentile(self, share: float, kind: str | None = None) -> float:
        """Returns a latency in seconds that `share` of the answers do not exceed; NaN where there are none."""
        chosen = self.latencies.get(kind, []) if kind else itertools.chain.from_iterable(self.latencies.values())
        ordered = sorted(chosen)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


async def run(target: str, bars: Sequence[Bar], *, replayed: int, rate: float, tally: Tally) -> None:
    """Replays bars and predicts until the replay is answered.

    Args:
        target: Address of the service.
        bars: Real bars, oldest first; those before the last `replayed` fill the window.
        replayed: Bars sent one by one, each due a prediction.
        rate: Bars per second.
        tally: Filled as answers come.
    """
    async with AsyncClient(target) as client:
        replay = asyncio.create_task(_replay(client, bars, replayed=replayed, rate=rate, tally=tally))
        callers = [asyncio.create_task(_call(client, priority, tally)) for priority in _TIMEOUTS]
        try:
            await replay
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(replay, *callers, return_exceptions=True)


async def _replay(client: AsyncClient, bars: Sequence[Bar], *, replayed: int, rate: float, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    history, live = bars[: len(bars) - replayed], bars[len(bars) - replayed :]
    sent: dict[int, tuple[Bar, float]] = {}
    async with client.stream_ticks([SYMBOL]) as stream:
        await stream.history(SYMBOL, history)

        async def send() -> None:
            start = loop.time()
            for index, bar in enumerate(live):
                await asyncio.sleep(start + index / rate - loop.time())
                now = loop.time()
                sequence = await stream.tick(SYMBOL, bar)
                sent[sequence] = (bar, now)
                tally.bars_sent += 1
            await stream.finish()

        sender = asyncio.create_task(send())
        try:
            async for event in stream:
                if isinstance(event, TickPrediction):
                    bar, since = sent.pop(event.sequence)
                    tally.answered("StreamTicks", loop.time() - since)
                    tally.latest.append((bar, event.prediction))
                elif isinstance(event, TickFailure):
                    tally.errors[event.error.reason or event.error.code.name] += 1
            await sender
        finally:
            sender.cancel()


async def _call(client: AsyncClient, priority: Priority, tally: Tally) -> None:
    """Asks for predictions on the symbol's window, one after another, as long as the replay runs."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_PAUSE)
        if not tally.latest:  # before the first bar is answered, there may be no window to predict on
            continue
        since = loop.time()
        try:
            await client.predict(symbol=SYMBOL, priority=priority, timeout=_TIMEOUTS[priority])
        except OverloadedError as error:
            tally.errors[error.reason] += 1
            await asyncio.sleep(error.retry_delay or _PAUSE)
        except TickserveError as error:
            tally.errors[error.reason or error.code.name] += 1
        else:
            tally.answered(priority.name.lower(), loop.time() - since)

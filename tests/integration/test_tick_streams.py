"""`StreamTicks` through HAProxy and Ray Serve, held against the features of the training code."""

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from model.dataset import load_windows
from tests.integration.conftest import Service
from tickserve import (
    AsyncClient,
    AsyncTickStream,
    BarCorrection,
    Client,
    Durable,
    InvalidRequestError,
    NotFoundError,
    Opened,
    PreconditionError,
    Progress,
    TickFailure,
    TickPrediction,
    Trade,
    WindowReset,
)
from tickserve import Bar as ClientBar
from tickserve.cli.bar_file import read_bars

DATA = Path(__file__).parents[2] / "data/eurusd_1h.csv"
NEED = 120


@pytest.fixture(scope="module")
def bars() -> list[ClientBar]:
    """Real bars, oldest first."""
    return list(read_bars(DATA))[: NEED + 200]


@pytest.fixture(scope="module")
def digests() -> list[str]:
    """The sha256 of every window of the file, as the training code makes them."""
    return [hashlib.sha256(np.ascontiguousarray(window).tobytes()).hexdigest() for window in load_windows(DATA, 200)]


async def feed(stream: AsyncTickStream, symbol: str, bars: Sequence[ClientBar]) -> None:
    """Ticks bars while another task reads: so many may be unanswered, and no more."""
    for bar in bars:
        await stream.tick(symbol, bar, valid_duration=60)
    await stream.finish()


async def test_one_prediction_per_bar_on_the_training_windows(
    service: Service, bars: list[ClientBar], digests: list[str]
) -> None:
    """Each bar from the first full window on is answered in order, from exactly the window that training would use."""
    async with AsyncClient(service.target) as client, client.stream_ticks(["PARITY"]) as stream:
        feeding = asyncio.create_task(feed(stream, "PARITY", bars))
        events = [event async for event in stream]
        await feeding
    opened, *rest = events
    assert isinstance(opened, Opened)
    assert opened.symbols["PARITY"].need == NEED
    progress = [event for event in rest if isinstance(event, Progress)]
    predictions = [event for event in rest if isinstance(event, TickPrediction)]
    assert [event.sequence for event in progress] == list(range(1, NEED))
    assert [event.have for event in progress] == list(range(1, NEED))
    assert [event.sequence for event in predictions] == list(range(NEED, len(bars) + 1))
    served = [event.prediction.input.sha256 for event in predictions]
    assert served[: len(digests)] == digests[: len(served)]
    assert not any(isinstance(event, Durable) for event in rest)  # memory alone outlives nobody


async def test_history_fills_without_predictions_and_symbol_can_be_asked_for(
    service: Service, bars: list[ClientBar], digests: list[str]
) -> None:
    """History fills a window silently; then `Predict` by symbol answers it, and its next bar is due at once."""
    async with AsyncClient(service.target) as client:
        async with client.stream_ticks(["HISTORY"]) as stream:
            await stream.history("HISTORY", bars[:NEED])
            await stream.tick("HISTORY", bars[NEED])
            await stream.finish()
            events = [event async for event in stream]
        opened, filled, answered = events
        assert isinstance(opened, Opened)
        assert isinstance(filled, Progress)
        assert isinstance(answered, TickPrediction)
        assert answered.prediction.input.sha256 == digests[1]
        answer = await client.predict(symbol="HISTORY", timeout=10)
        assert answer.input.sha256 == digests[1]
        assert answer.input.symbol == "HISTORY"
        assert answer.input.last_sequence == 1
        with pytest.raises(PreconditionError) as stale:
            await client.predict(symbol="HISTORY", max_age=60, timeout=10)
        assert stale.value.reason == "WINDOW_STALE"


async def test_trades_make_the_training_bars(service: Service, bars: list[ClientBar], digests: list[str]) -> None:
    """A bar closes with the next one's first trade, the last with a watermark; all others are answered as partial."""
    traded = bars[NEED - 1 : NEED + 2]
    async with AsyncClient(service.target) as client, client.stream_ticks(["TRADES"], predict_partial=True) as stream:
        await stream.history("TRADES", bars[: NEED - 1])
        for bar in traded:
            sizes = (bar.volume, 0.0, 0.0, 0.0)
            for minute, price in enumerate((bar.open, bar.high, bar.low, bar.close)):
                event_time = bar.start_time + timedelta(minutes=minute)
                await stream.tick("TRADES", Trade(price, sizes[minute]), event_time=event_time, valid_duration=60)
        await stream.watermark(traded[-1].start_time + timedelta(hours=1))
        await stream.finish()
        answers = [event async for event in stream if isinstance(event, TickPrediction)]
    closed = [(event.sequence, event.prediction.input.sha256) for event in answers if not event.partial]
    # The watermark has no number of its own: what it closes bears that of the last trade.
    assert closed == [(5, digests[0]), (9, digests[1]), (12, digests[2])]
    assert [event.sequence for event in answers if event.partial] == [1, 2, 3, 4, 6, 7, 8, 10, 11, 12]


async def test_a_correction_replaces_the_newest_bar(
    service: Service, bars: list[ClientBar], digests: list[str]
) -> None:
    """It is answered from the window as it should have been, and so is what follows."""
    wrong = dataclasses.replace(bars[NEED - 1], high=bars[NEED - 1].high * 2)
    async with AsyncClient(service.target) as client, client.stream_ticks(["CORRECTED"]) as stream:
        await stream.history("CORRECTED", bars[: NEED - 1])
        await stream.tick("CORRECTED", wrong, valid_duration=60)
        await stream.tick("CORRECTED", BarCorrection(bars[NEED - 1]), valid_duration=60)
        await stream.tick("CORRECTED", bars[NEED], valid_duration=60)
        await stream.finish()
        served = [event.prediction.input.sha256 async for event in stream if isinstance(event, TickPrediction)]
    assert served[0] not in digests
    assert served[1:] == digests[:2]


async def test_conflated_answers_stand_for_every_due_bar(
    service: Service, bars: list[ClientBar], digests: list[str]
) -> None:
    """However many there are: together they stand for each bar once, the last for the newest, from exact windows."""
    count = 150
    async with AsyncClient(service.target) as client, client.stream_ticks(["CONFLATED"], conflate=True) as stream:
        await stream.history("CONFLATED", bars[: NEED - 1])
        feeding = asyncio.create_task(feed(stream, "CONFLATED", bars[NEED - 1 : NEED - 1 + count]))
        answers = [event async for event in stream if isinstance(event, TickPrediction)]
        await feeding
    stood_for = [n for event in answers for n in range(event.first_sequence, event.sequence + 1)]
    assert stood_for == list(range(1, count + 1))
    for event in answers:
        assert event.conflated_count == event.sequence - event.first_sequence
        assert event.prediction.input.sha256 == digests[event.sequence - 1]


async def test_bad_ticks_are_told_and_the_stream_lives(service: Service, bars: list[ClientBar]) -> None:
    """A refused tick changes nothing, may be sent again mended, and spoils no other."""
    bad = ClientBar(start_time=bars[1].start_time, open=1.0, high=0.5, low=0.4, close=0.45, volume=1.0)
    async with AsyncClient(service.target) as client, client.stream_ticks(["BAD"]) as stream:
        await stream.tick("BAD", bars[0])
        await stream.tick("BAD", bad, sequence=2)
        await stream.tick("BAD", bars[1], sequence=2)
        await stream.tick("BAD", bars[1], sequence=2)
        await stream.tick("BAD", bars[0], sequence=3)
        await stream.tick("BAD", WindowReset(), sequence=3)
        await stream.finish()
        events = [event async for event in stream]
    kinds = [(type(event), getattr(event, "sequence", None)) for event in events[1:]]
    assert kinds == [(Progress, 1), (TickFailure, 2), (Progress, 2), (Progress, 2), (TickFailure, 3), (Progress, 3)]
    failures = [event for event in events if isinstance(event, TickFailure)]
    progress = [event for event in events if isinstance(event, Progress)]
    assert {failure.error.reason for failure in failures} == {"INVALID_TICK"}
    assert failures[0].error.fields[0].field == "tick.bar.high_price"
    assert [event.duplicate for event in progress] == [False, False, True, False]
    assert progress[-1].have == 0


def test_unknown_symbols_are_refused(service: Service) -> None:
    """`Predict` on a symbol that nobody streams is NOT_FOUND; one that cannot exist is INVALID_ARGUMENT."""
    with Client(service.target) as client:
        with pytest.raises(NotFoundError) as unknown:
            client.predict(symbol="NOBODY", timeout=10)
        assert unknown.value.reason == "SYMBOL_NOT_FOUND"
        with pytest.raises(InvalidRequestError) as impossible:
            client.predict(symbol="x" * 65, timeout=10)
        assert impossible.value.reason == "INVALID_SYMBOL"


async def test_300_streams_on_one_channel_progress(service: Service, bars: list[ClientBar]) -> None:
    """Three hundred streams opened at once on one channel are all served while all stay open."""
    opened = 0
    all_open = asyncio.Event()

    async with AsyncClient(service.target) as client:

        async def one(number: int) -> int:
            nonlocal opened
            symbol = f"S{number}"
            async with client.stream_ticks([symbol]) as stream:
                opened += 1
                if opened == 300:
                    all_open.set()
                async with asyncio.timeout(60):
                    await all_open.wait()
                await stream.history(symbol, bars[: NEED - 1])
                await stream.tick(symbol, bars[NEED - 1], valid_duration=60)
                await stream.finish()
                return sum([isinstance(event, TickPrediction) async for event in stream])

        answers = await asyncio.gather(*(one(number) for number in range(300)))
    assert answers == [1] * 300

"""Laws of what a tick stream takes in: bounded in bytes, and no times that would end a symbol."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.config.window_settings import WindowSettings
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.raw_client import read_status
from tests.support.tick_streams import NOW, FakePredictor, Stream, ToldStore, row, tick_service
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest
from tickserve.v1.tick_pb2 import Trade


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def store() -> ToldStore:
    """Keeps windows."""
    return ToldStore(max_symbols=10)


async def test_bytes_are_bounded_as_messages_are(predictor: FakePredictor, store: ToldStore) -> None:
    """A message's bytes count until it is answered; a message larger than the bound is taken alone."""
    service = tick_service(predictor, store, max_in_flight_bytes_per_stream=65_536, max_in_flight_per_stream=100)
    stream = Stream(service)
    await stream.fill("A")
    read = stream.read_count
    # A field that nobody knows, of 20 kB: three fit, and one more is read to wait.
    padding = b"\xc2\x3e\xa0\x9c\x01" + bytes(20_000)
    await stream.send(*(row("A", sequence).SerializeToString() + padding for sequence in range(60, 70)))
    assert (stream.read_count, len(predictor.tasks)) == (read + 4, 3)
    predictor.expire(0)
    await settle()
    assert (stream.read_count, len(predictor.tasks)) == (read + 5, 4)
    for _ in range(10):
        predictor.expire()
        await settle()
    assert len(predictor.tasks) == 10
    huge = row("A", 70).SerializeToString() + b"\xc2\x3e\xa0\x8d\x06" + bytes(100_000)
    await stream.send(huge, row("A", 71))
    assert len(predictor.tasks) == 11
    predictor.expire()
    await settle()
    assert len(predictor.tasks) == 12
    predictor.expire()
    await stream.half_close()
    await stream.end()
    assert [sequence for _, sequence, _ in stream.errors()] == list(range(60, 72))


async def test_a_message_with_several_answers_needs_its_bytes_once(predictor: FakePredictor, store: ToldStore) -> None:
    """A large tick that reveals a gap has two: the second does not wait for the first one's bytes."""
    service = tick_service(predictor, store, max_in_flight_bytes_per_stream=65_536)
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 65).SerializeToString() + b"\xc2\x3e\xa0\x8d\x06" + bytes(100_000))
    assert [task.origin.last_sequence for task in predictor.tasks] == [65]
    assert stream.kinds()[-1] == "gap"
    stream.task.cancel()


@pytest.mark.parametrize("ahead", [0, 2])
async def test_times_far_ahead_close_nothing(predictor: FakePredictor, store: ToldStore, ahead: int) -> None:
    """A time in milliseconds that is sent as seconds is refused with its field; up to the lead it is taken."""
    stream = Stream(tick_service(predictor, store, windows=WindowSettings(max_event_lead=1.0)))
    at = Timestamp(seconds=int(NOW) + ahead)
    watermark = StreamTicksRequest()
    watermark.watermark.event_time.CopyFrom(at)
    await stream.send(
        m.opening("A", "B"),
        m.tick("A", 1, trade=Trade(price=1.0, size=1.0), event_time=at),
        watermark,
        m.tick("B", 1, bar=m.bar(start_time=at)),
        m.history("B", [m.bar(start_time=at)]),
    )
    fields = [read_status(told.error.error).fields for told in stream.of("error")]
    paths = ["tick.event_time", "watermark.event_time", "tick.bar.start_time", "history.bars[0].start_time"]
    assert fields == ([(path,) for path in paths] if ahead else [])
    stream.task.cancel()


async def test_skew_is_measured(predictor: FakePredictor, store: ToldStore) -> None:
    """By how much receipt is later than the events' own times."""
    service = tick_service(predictor, store)
    stream = Stream(service)
    await stream.send(m.opening("A"), row("A", 1, event_time=Timestamp(seconds=int(NOW) - 5)), row("A", 2))
    assert service.counters.event_time_skew == 5.0
    stream.task.cancel()

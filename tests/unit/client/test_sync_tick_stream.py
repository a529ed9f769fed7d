"""A tick session of the synchronous client, over a real socket."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from tests.unit.client.fake_service import FakeService, rich_status
from tickserve import (
    Bar,
    Client,
    DeadlineError,
    InvalidRequestError,
    Opened,
    Progress,
    StreamClosedError,
    TickPrediction,
    UnavailableError,
)

START = datetime(2026, 1, 2, tzinfo=UTC)
BARS = [Bar(START + timedelta(hours=n), 1.0, 1.0, 1.0, 1.0) for n in range(10)]


def test_a_session_from_open_to_end(service: FakeService) -> None:
    """Ticks are numbered, events come typed, and the iteration ends when all is answered."""
    with Client(service.target) as client, client.stream_ticks(["A"]) as stream:
        stream.history("A", BARS[:1])
        assert [stream.tick("A", bar) for bar in BARS[1:3]] == [1, 2]
        stream.watermark(START)
        stream.finish()
        events = list(stream)
    assert [type(event) for event in events] == [Opened, Progress, TickPrediction]


def test_a_refused_open_raises_on_entry(service: FakeService) -> None:
    """Whether the refusal comes in the stream or ends it, `with` raises it."""
    with Client(service.target) as client:
        with pytest.raises(InvalidRequestError, match="INVALID_SYMBOL"), client.stream_ticks(["A!"]):
            raise AssertionError("it is not open")
        service.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        with pytest.raises(UnavailableError, match="MODEL_LOADING"), client.stream_ticks(["A"]):
            raise AssertionError("it is not open")


def test_an_open_without_an_answer_ends_in_time(service: FakeService) -> None:
    """A silent service does not hold the caller for ever."""
    service.silent = True
    with Client(service.target) as client:
        stream = client.stream_ticks(["A"], open_timeout=0.05)
        with pytest.raises(DeadlineError, match=r"within 0\.05 s"), stream:
            raise AssertionError("it is not open")


def test_a_broken_stream_raises_where_it_is_read_and_written(service: FakeService) -> None:
    """Reader and writers are told the same reason."""
    service.end_ticks_with = rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING")
    with Client(service.target) as client, client.stream_ticks(["A"], resume=None) as stream:
        stream.tick("A", BARS[0])
        with pytest.raises(UnavailableError, match="DRAINING"):
            list(stream)
        with pytest.raises(UnavailableError, match="DRAINING"):
            stream.tick("A", BARS[1])


def test_nothing_is_sent_after_the_end(service: FakeService) -> None:
    """Writing after `finish`, after `close` and before the start is told apart from a failure."""
    with Client(service.target) as client:
        stream = client.stream_ticks(["A"])
        with pytest.raises(StreamClosedError, match="with"):
            stream.tick("A", BARS[0])
        with stream:
            stream.finish()
            with pytest.raises(StreamClosedError):
                stream.tick("A", BARS[0])
            assert len(list(stream)) == 1
        with pytest.raises(StreamClosedError):
            stream.tick("A", BARS[0])


def test_close_ends_a_waiting_reader(service: FakeService) -> None:
    """Another thread may end the session; its reader sees the end of the events, not an error."""
    with Client(service.target) as client, client.stream_ticks(["A"]) as stream, ThreadPoolExecutor(1) as pool:
        assert isinstance(next(stream), Opened)
        reader = pool.submit(list, stream)
        stream.close()
        assert reader.result(timeout=10) == []


def test_a_silent_writer_sends_heartbeats(service: FakeService) -> None:
    """A stream without ticks stays alive, without a word to its user."""
    service.heartbeat_interval = 0.01
    with Client(service.target) as client, client.stream_ticks(["A"]) as stream:
        stream.tick("A", BARS[0])
        assert service.heartbeat_received.wait(10)
        stream.finish()
        assert [type(event) for event in stream] == [Opened, Progress]

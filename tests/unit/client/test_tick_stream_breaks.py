"""Tick streams come back: over a real socket, with a stand-in that cuts, drains and falls silent."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from tests.unit.client.fake_service import FakeService, abort, rich_status
from tickserve import (
    AsyncClient,
    AuthenticationError,
    Bar,
    Client,
    Disconnected,
    Drain,
    Opened,
    Reconnected,
    ResumePolicy,
    StreamClosedError,
    TickPrediction,
    UnavailableError,
)
from tickserve.v1 import prediction_service_pb2, tick_pb2

START = datetime(2026, 1, 2, tzinfo=UTC)
BARS = [Bar(START + timedelta(hours=n), 1.0, 1.0, 1.0, 1.0) for n in range(40)]
POLICY = ResumePolicy(initial_delay=0.001, max_delay=0.01)


class BreakingService(FakeService):
    """Remembers how far it got with a symbol, and breaks as it is told, once for each entry of `breaks`."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks: list[tuple[str, int]] = []
        """How, and at which sequence number: `cut` before it is applied, `lose` its answer, `drain`, `silent`."""
        self.resume: list[list[Any]] = []

    def StreamTicks(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """As its parent, with breaks; what a returning client is owed is answered right away."""
        opening = next(request_iterator).open
        self.resume.append(list(opening.resume))
        if self.refusal is not None:
            abort(context, self.refusal)
        yield response(opened=self._opened(opening))
        for point in opening.resume:
            for number in range(point.last_answered_sequence + 1, self.state.get(point.symbol, (0, 0))[0] + 1):
                yield self._answer(tick_pb2.Tick(symbol=point.symbol, sequence=number), {point.symbol: 99})
        for request in request_iterator:
            if request.WhichOneof("message") != "tick":
                continue
            tick = request.tick
            how = self.breaks.pop(0)[0] if self.breaks and self.breaks[0][1] == tick.sequence else ""
            if how == "cut":
                abort(context, rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING"))
            applied = self.state.get(tick.symbol, (0, 0))[0]
            assert tick.sequence <= applied + 1, "a tick was left out"
            assert tick.sequence > applied, "a tick was sent again that had been applied"
            self.state[tick.symbol] = (tick.sequence, 99)
            if how == "lose":
                abort(context, rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING"))
            if how == "silent":
                threading.Event().wait(timeout=0.5)
            yield self._answer(tick, {tick.symbol: 99})
            if how == "drain":
                yield response(drain=tick_pb2.StreamDrain(grace_duration=duration_pb2.Duration(seconds=5)))


response = prediction_service_pb2.StreamTicksResponse


@pytest.fixture
def breaking() -> Iterator[BreakingService]:
    """A stand-in that breaks."""
    with BreakingService().serving() as serving:
        yield serving


async def replay(service: FakeService, changes: list[Any], **options: Any) -> list[Any]:
    """Sends all bars, asynchronously, and returns the events."""
    async with (
        AsyncClient(service.target) as client,
        client.stream_ticks(["A"], resume=POLICY, observer=changes.append, **options) as stream,
    ):

        async def send() -> None:
            for bar in BARS:
                await stream.tick("A", bar)
            await stream.finish()

        sender = asyncio.create_task(send())
        events = [event async for event in stream]
        await sender
        return events


def replay_in_threads(service: FakeService, changes: list[Any]) -> list[Any]:
    """Sends all bars, synchronously, and returns the events."""
    with (
        Client(service.target) as client,
        client.stream_ticks(["A"], resume=POLICY, observer=changes.append) as stream,
    ):

        def send() -> None:
            for bar in BARS:
                stream.tick("A", bar)
            stream.finish()

        sender = threading.Thread(target=send)
        sender.start()
        events = list(stream)
        sender.join()
        return events


BREAKS = [
    [("cut", 1)],
    [("lose", 7)],
    [("drain", 5)],
    [("cut", 3), ("cut", 3), ("lose", 3), ("drain", 4), ("lose", 40)],
]


@pytest.mark.parametrize("breaks", BREAKS)
async def test_an_asynchronous_stream_hears_each_answer_once(
    breaking: BreakingService, breaks: list[tuple[str, int]]
) -> None:
    """However often it breaks; every tick is applied once."""
    breaking.breaks, changes = list(breaks), list[Any]()
    events = await replay(breaking, changes)
    check(breaking, breaks, events, changes)


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_synchronous_stream_hears_each_answer_once(breaking: BreakingService, breaks: list[tuple[str, int]]) -> None:
    """However often it breaks; every tick is applied once."""
    breaking.breaks, changes = list(breaks), list[Any]()
    events = replay_in_threads(breaking, changes)
    check(breaking, breaks, events, changes)


def check(service: BreakingService, breaks: list[tuple[str, int]], events: list[Any], changes: list[Any]) -> None:
    """Checks what every replay must lead to."""
    assert [event.sequence for event in events if isinstance(event, TickPrediction)] == list(range(1, len(BARS) + 1))
    assert [type(event) for event in events if not isinstance(event, TickPrediction | Drain)] == [Opened]
    assert service.breaks == []
    # A drain may come when all has been sent; then there is nothing to come back for.
    reconnects = len(service.resume) - 1
    assert sum(how != "drain" for how, _ in breaks) <= reconnects <= len(breaks)
    assert [type(change) for change in changes] == [Disconnected, Reconnected] * reconnects


async def test_a_service_that_falls_silent_is_left(breaking: BreakingService) -> None:
    """Three heartbeats without a word are a break; the answer that was on its way is asked for again."""
    breaking.heartbeat_interval = 0.02
    breaking.breaks, changes = [("silent", 4)], list[Any]()
    events = await replay(breaking, changes)
    assert [event.sequence for event in events if isinstance(event, TickPrediction)] == list(range(1, len(BARS) + 1))
    assert isinstance(changes[0], Disconnected)
    assert "silent" in changes[0].error.message


async def test_a_stream_that_is_asked_to_leave_leaves_at_once(breaking: BreakingService) -> None:
    """It says no more there, hears what is due, and opens the session elsewhere, without a wait."""
    breaking.breaks, changes = [("drain", 1)], list[Any]()
    options: dict[str, Any] = {"resume": ResumePolicy(initial_delay=60, max_delay=60), "observer": changes.append}
    async with AsyncClient(breaking.target) as client, client.stream_ticks(["A"], **options) as stream:
        await stream.tick("A", BARS[0])
        assert [type(await anext(stream)) for _ in range(3)] == [Opened, TickPrediction, Drain]
        await stream.tick("A", BARS[1])
        answer = await anext(stream)
        assert isinstance(answer, TickPrediction)
        assert (answer.sequence, stream.reconnect_count) == (2, 1)
    assert [point.last_answered_sequence for point in breaking.resume[1]] == [1]


async def test_what_cannot_pass_is_raised(breaking: BreakingService) -> None:
    """A refusal that is the caller's to mend ends the session, for reader and writers."""
    breaking.breaks = [("cut", 2)]
    async with AsyncClient(breaking.target) as client, client.stream_ticks(["A"], resume=POLICY) as stream:
        await stream.tick("A", BARS[0])
        assert isinstance(await anext(stream), Opened)
        assert isinstance(await anext(stream), TickPrediction)
        breaking.refusal = rich_status(grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")
        await stream.tick("A", BARS[1])
        with pytest.raises(AuthenticationError):
            await anext(stream)
        with pytest.raises(AuthenticationError):
            await stream.tick("A", BARS[2])


async def test_patience_may_end(breaking: BreakingService) -> None:
    """A service that stays away is given up after the time that the policy allows."""
    breaking.breaks = [("cut", 1)]
    policy = ResumePolicy(initial_delay=0.001, max_delay=0.001, give_up_after=0.02)
    async with AsyncClient(breaking.target) as client, client.stream_ticks(["A"], resume=policy) as stream:
        breaking.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        await stream.tick("A", BARS[0])
        with pytest.raises(UnavailableError, match="MODEL_LOADING"):
            [event async for event in stream]


async def test_a_cancelled_read_loses_nothing(breaking: BreakingService) -> None:
    """GRPC ends the call with the read; the next read comes back."""
    async with AsyncClient(breaking.target) as client, client.stream_ticks(["A"], resume=POLICY) as stream:
        assert isinstance(await anext(stream), Opened)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.02)
        await stream.tick("A", BARS[0])
        answer = await anext(stream)
        assert isinstance(answer, TickPrediction)
        assert (answer.sequence, stream.reconnect_count) == (1, 1)


async def test_a_closed_client_does_not_come_back(breaking: BreakingService) -> None:
    """Its stream must not open it again behind its back."""
    client = AsyncClient(breaking.target)
    async with client.stream_ticks(["A"], resume=POLICY) as stream:
        await anext(stream)
        await client.close()
        with pytest.raises(StreamClosedError, match="client was closed"):
            await anext(stream)
    assert len(breaking.resume) == 1

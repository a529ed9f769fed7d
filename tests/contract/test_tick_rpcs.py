"""Laws of `StreamTicks` over a real socket: trades, coming back, two writers, and what bad ticks leave: nothing."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from server.config.settings import Settings
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.bad_input import BAD_INPUTS
from tests.support.local import LocalService, local_service
from tests.support.raw_client import exchange, read_status
from tests.support.registry import make_registry, real_bars, real_windows
from tests.support.service import Service, serving, settings_for
from tickserve.v1 import tick_pb2
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse

NEED, HOUR, PATIENCE = 120, 3600, 90.0
TICK_CASES = [case for case in BAD_INPUTS if case.method == "StreamTicks"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default limits; made outside the event loop, for it writes files."""
    real_bars(200)
    return settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        yield connected


@pytest.fixture(scope="module")
def local(settings: Settings) -> Iterator[LocalService]:
    """A replica without a socket, whose tasks can be counted."""
    with local_service(settings) as running:
        yield running


class Client:
    """One open stream over a socket."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stream: Any = channel.stream_stream(METHODS["StreamTicks"])(timeout=PATIENCE)

    async def write(self, *requests: StreamTicksRequest) -> None:
        """Sends messages."""
        for request in requests:
            await self._stream.write(request.SerializeToString())

    async def read(self) -> StreamTicksResponse:
        """Returns the next response."""
        data = await self._stream.read()
        assert isinstance(data, bytes), data
        return StreamTicksResponse.FromString(data)

    def leave(self) -> None:
        """Goes without a word."""
        self._stream.cancel()


async def ticks(channel: grpc.aio.Channel, *requests: StreamTicksRequest) -> list[StreamTicksResponse]:
    """Returns all that a tick stream answers."""
    answers = await exchange(
        channel, "StreamTicks", [request.SerializeToString() for request in requests], timeout=PATIENCE
    )
    return [StreamTicksResponse.FromString(answer) for answer in answers]


def history(symbol: str, count: int, last_sequence: int = 0) -> StreamTicksRequest:
    """Returns the first of the real bars."""
    return m.history(symbol, [m.bar_message(bar) for bar in real_bars(200)[:count]], last_sequence)


def digest(index: int) -> str:
    """Returns the digest of one of the training set's windows."""
    return hashlib.sha256(real_windows()[index].astype("<f4").tobytes()).hexdigest()


@pytest.mark.asyncio(loop_scope="module")
async def test_trades_become_predictions(channel: grpc.aio.Channel) -> None:
    """A bar closes with the first trade after it, or by a watermark, which leads to no number of its own."""
    start = int(real_bars(200)[NEED - 1].open_time) + HOUR
    trade = tick_pb2.Trade(price=1.1, size=1.0)
    after = tick_pb2.Watermark(event_time=Timestamp(seconds=start + 2 * HOUR))
    responses = await ticks(
        channel,
        m.opening("TRADES"),
        history("TRADES", NEED),
        m.tick("TRADES", 1, trade=trade, event_time=Timestamp(seconds=start)),
        m.tick("TRADES", 2, trade=trade, event_time=Timestamp(seconds=start + HOUR)),
        StreamTicksRequest(watermark=after),
        m.heartbeat(),
    )
    told = [response.WhichOneof("message") for response in responses]
    assert sorted(map(str, told)) == ["heartbeat", "opened", *2 * ["prediction"], *2 * ["progress"]]
    predictions = [response.prediction for response in responses if response.HasField("prediction")]
    assert [one.sequence for one in predictions] == [2, 2]
    ends = [one.prediction.input.as_of_time.seconds for one in predictions]
    assert ends == [start + HOUR, start + 2 * HOUR]


@pytest.mark.asyncio(loop_scope="module")
async def test_partial_predictions_say_so(channel: grpc.aio.Channel) -> None:
    """With every trade of the bar in the making."""
    start = int(real_bars(200)[NEED - 1].open_time) + HOUR
    trade = tick_pb2.Trade(price=1.1, size=1.0)
    responses = await ticks(
        channel,
        m.opening("PARTIAL", predict_partial=True),
        history("PARTIAL", NEED),
        *(m.tick("PARTIAL", n, trade=trade, event_time=Timestamp(seconds=start + n)) for n in (1, 2)),
    )
    assert [response.prediction.partial for response in responses[2:]] == [True, True]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_client_that_was_cut_off_is_owed_its_answers(channel: grpc.aio.Channel) -> None:
    """Each due prediction comes once over both streams, in order, from the training set's windows."""
    first = Client(channel)
    bars = [m.bar_message(bar) for bar in real_bars(200)]
    await first.write(m.opening("CUT"), history("CUT", NEED - 1, NEED - 1))
    await first.write(*(m.tick("CUT", number, bar=bars[number - 1]) for number in range(NEED, NEED + 20)))
    heard = [await first.read() for _ in range(2 + 5)][2:]
    first.leave()
    resume = [tick_pb2.ResumePoint(symbol="CUT", last_answered_sequence=heard[-1].prediction.sequence)]
    second = Client(channel)
    await second.write(m.opening("CUT", resume=resume))
    opened = (await second.read()).opened
    applied = opened.symbols[0].sequence
    assert applied >= NEED + 4
    await second.write(*(m.tick("CUT", n, bar=bars[n - 1]) for n in range(applied + 1, NEED + 30)))
    while len(heard) < 30:
        heard.append(await second.read())
    second.leave()
    predictions = [response.prediction for response in heard]
    assert [one.sequence for one in predictions] == list(range(NEED, NEED + 30))
    assert [one.prediction.input.sha256 for one in predictions] == [digest(number) for number in range(30)]
    assert [one.prediction.input.last_sequence for one in predictions] == [one.sequence for one in predictions]


@pytest.mark.asyncio(loop_scope="module")
async def test_two_writers_fight_for_no_symbol(channel: grpc.aio.Channel) -> None:
    """A symbol belongs to whoever opened it last; the loser is told at once, and keeps its other symbols."""
    old, new = Client(channel), Client(channel)
    await old.write(m.opening("MINE", "OURS"))
    assert (await old.read()).HasField("opened")
    await new.write(m.opening("MINE"))
    assert (await new.read()).HasField("opened")
    lost = (await old.read()).error
    assert (lost.symbol, lost.sequence, read_status(lost.error).reason) == ("MINE", 0, "SYMBOL_NOT_OPEN")
    await old.write(m.tick("MINE", 1), m.tick("OURS", 1))
    refused = (await old.read()).error
    assert (refused.symbol, refused.sequence, read_status(refused.error).reason) == ("MINE", 1, "SYMBOL_NOT_OPEN")
    assert (await old.read()).progress.symbol == "OURS"
    await new.write(m.tick("MINE", 1))
    assert not (await new.read()).progress.duplicate
    old.leave()
    new.leave()


@pytest.mark.asyncio(loop_scope="module")
async def test_bad_messages_touch_no_other_stream(channel: grpc.aio.Channel) -> None:
    """One stream sends every bad input there is, another is served message by message meanwhile."""
    good = Client(channel)
    await good.write(m.opening("GOOD"), history("GOOD", NEED - 1))
    assert (await good.read()).HasField("opened")
    assert (await good.read()).HasField("progress")
    bars = [m.bar_message(bar) for bar in real_bars(200)]
    bad = Client(channel)
    for number, case in enumerate(TICK_CASES[:80]):
        await bad._stream.write(case.request())
        await good.write(m.tick("GOOD", number + 1, bar=bars[NEED - 1 + number]))
        answer = (await good.read()).prediction
        assert (answer.sequence, answer.prediction.input.sha256) == (number + 1, digest(number))
    bad.leave()
    good.leave()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conflating_client_that_does_not_read_is_served_the_newest(channel: grpc.aio.Channel) -> None:
    """However many ticks it sends meanwhile, they are all applied, and its last answer is of the last of them."""
    client = Client(channel)
    await client.write(m.opening("FAST", conflate=True), m.history("FAST", [m.bar(n) for n in range(NEED - 1)]))
    count = 500
    await client.write(
        *(m.tick("FAST", n, bar=m.bar(NEED - 2 + n), valid_duration=m.duration(60)) for n in range(1, count + 1))
    )
    answered = 0
    last = 0
    while last < count:
        response = await client.read()
        if response.HasField("prediction"):
            one = response.prediction
            assert one.first_sequence == last + 1
            assert one.sequence == one.first_sequence + one.conflated_count
            assert one.prediction.input.last_sequence == one.sequence
            last, answered = one.sequence, answered + 1
    assert 1 <= answered <= count
    client.leave()


def test_bad_ticks_leave_nothing_behind(local: LocalService) -> None:
    """After each bad input the stream ends well, no task is left, and its symbols may be opened again."""
    for case in TICK_CASES:
        requests = [*case.before(), case.request(), m.heartbeat().SerializeToString()]
        responses, refused = local.stream("StreamTicks", requests)
        assert refused is None, case.name
        kinds = [response.WhichOneof("message") for response in responses]
        assert (kinds.count("error"), kinds[-1]) == (1, "heartbeat"), case.name
        assert local.pending() == 0, case.name
    assert local.replica.snapshot().open_streams == 0
    assert not local.errors

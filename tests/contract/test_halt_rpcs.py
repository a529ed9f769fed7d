"""Laws of the kill switch over a real socket: who may use it, what it stops, and that nothing slips through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from server.config.settings import Settings
from server.rpc.ingress import METHODS
from server.security.key_file import write_keys
from server.security.key_ring import KeyRing
from tests.support import messages as m
from tests.support.doors import made_key, written_keys
from tests.support.halts import scope
from tests.support.raw_client import TIMEOUT, Refused, call, read_error, read_status
from tests.support.registry import NAME, make_registry, real_bars
from tests.support.service import Service, serving, settings_for
from tests.support.windows import eventually
from tickserve.v1.halt_pb2 import HaltScope
from tickserve.v1.halt_service_pb2 import (
    HaltRequest,
    HaltResponse,
    ListHaltsResponse,
    ResumeRequest,
    ResumeResponse,
)
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchResponse,
    StreamPredictResponse,
    StreamTicksResponse,
)

OPS, ALL, VICTIM = range(3)
EVERYTHING = HaltScope(everything=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The file of keys, and the keys with their tokens."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = [
        made_key("ops", methods=("Halt", "Resume", "ListHalts")),
        made_key("all"),
        made_key("victim"),
    ]
    written_keys(path, *made)
    return path, made


@pytest.fixture(scope="module")
def tokens(keys: tuple[Path, list[Any]]) -> list[str]:
    """The keys' tokens."""
    return [token for token, _ in keys[1]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, list[Any]]) -> Settings:
    """A service that asks for keys."""
    real_bars(200)
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    return settings_for(registry, security={"keys_file": keys[0]}, cache={"enabled": True})


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


async def ask(channel: grpc.aio.Channel, method: str, request: Any, token: str) -> Any:
    """Makes one unary call with a key."""
    return await call(channel, method, request.SerializeToString(), x_api_key=token)


@contextlib.asynccontextmanager
async def halted(channel: grpc.aio.Channel, token: str, what: HaltScope) -> AsyncIterator[None]:
    """Halts while the context is entered."""
    begun = await ask(channel, "Halt", HaltRequest(scope=what, reason="drill"), token)
    assert isinstance(begun, bytes), begun
    try:
        yield
    finally:
        ended = await ask(channel, "Resume", ResumeRequest(scope=what), token)
        assert isinstance(ended, bytes), ended


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", ["Halt", "Resume"])
async def test_only_a_key_that_names_it_may(channel: grpc.aio.Channel, tokens: list[str], method: str) -> None:
    """All methods are not these; everybody of them may list."""
    refused = await ask(channel, method, HaltRequest(scope=EVERYTHING), tokens[ALL])
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.metadata) == ("METHOD_NOT_ALLOWED", {"method": method})
    listed = await ask(channel, "ListHalts", HaltRequest(), tokens[ALL])
    assert ListHaltsResponse.FromString(listed) == ListHaltsResponse()


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_halted_is_told_whole(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """To who halts, who lists, who is refused, and who resumes; a second resume ends nothing."""
    what = HaltScope(model=m.model(NAME, 1))
    begun = HaltResponse.FromString(await ask(channel, "Halt", HaltRequest(scope=what, reason="bad"), tokens[OPS])).halt
    assert (begun.scope, begun.reason, begun.author) == (what, "bad", "ops")
    listed = ListHaltsResponse.FromString(await ask(channel, "ListHalts", HaltRequest(), tokens[ALL]))
    assert list(listed.halts) == [begun]
    refused = await ask(channel, "Predict", m.predict(), tokens[ALL])
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HALTED")
    since = begun.halt_time.ToJsonString()[:19]
    assert refused.metadata.pop("since").startswith(since)
    assert refused.metadata == {"scope": f"model {NAME}:1", "reason": "bad"}
    assert refused.retry_delay is None
    ended = ResumeResponse.FromString(await ask(channel, "Resume", ResumeRequest(scope=what), tokens[OPS]))
    assert (ended.ended_halt, len(ended.halts)) == (begun, 0)
    again = ResumeResponse.FromString(await ask(channel, "Resume", ResumeRequest(scope=what), tokens[OPS]))
    assert not again.HasField("ended_halt")
    assert isinstance(await ask(channel, "Predict", m.predict(), tokens[ALL]), bytes)


@pytest.mark.asyncio(loop_scope="module")
async def test_known_answers_are_halted_too(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """Those of the cache, and those that a request id is answered with again."""
    requests = (m.predict(), m.predict(request_id="order-7"))
    for _ in range(2):
        for request in requests:
            assert isinstance(await ask(channel, "Predict", request, tokens[ALL]), bytes)
    async with halted(channel, tokens[OPS], EVERYTHING):
        for request in requests:
            refused = await ask(channel, "Predict", request, tokens[ALL])
            assert isinstance(refused, Refused)
            assert refused.reason == "HALTED"
    for request in requests:
        assert isinstance(await ask(channel, "Predict", request, tokens[ALL]), bytes)


@pytest.mark.asyncio(loop_scope="module")
async def test_batches_and_streams_are_refused_item_by_item(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """The stream lives on, and is answered again after the resume."""
    multi: Any = channel.stream_stream(METHODS["StreamPredict"])
    stream = multi(timeout=TIMEOUT, metadata=(("x-api-key", tokens[ALL]),))
    async with halted(channel, tokens[OPS], HaltScope(model=m.model(NAME))):
        batch = PredictBatchResponse.FromString(await ask(channel, "PredictBatch", m.batch(), tokens[ALL]))
        assert {read_status(result.error).reason for result in batch.results} == {"HALTED"}
        await stream.write(m.item("one").SerializeToString())
        first = StreamPredictResponse.FromString(await stream.read())
        assert (first.request_id, read_status(first.error).reason) == ("one", "HALTED")
    await stream.write(m.item("two").SerializeToString())
    assert StreamPredictResponse.FromString(await stream.read()).HasField("prediction")
    stream.cancel()


@pytest.mark.asyncio(loop_scope="module")
async def test_one_keys_halt_is_nobody_elses(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """Its calls are refused and its streams end, with a word in the stream and as their status."""
    multi: Any = channel.stream_stream(METHODS["StreamPredict"])
    stream = multi(timeout=TIMEOUT, metadata=(("x-api-key", tokens[VICTIM]),))
    await stream.write(m.item("before").SerializeToString())
    assert StreamPredictResponse.FromString(await stream.read()).HasField("prediction")
    async with halted(channel, tokens[OPS], HaltScope(key_id="victim")):
        last = StreamPredictResponse.FromString(await stream.read())
        assert (last.request_id, read_status(last.error).reason) == ("", "HALTED")
        assert read_error(await status_of(stream)).reason == "HALTED"
        refused = await ask(channel, "Predict", m.predict(), tokens[VICTIM])
        assert isinstance(refused, Refused)
        assert refused.metadata["scope"] == "key victim"
        assert isinstance(await ask(channel, "Predict", m.predict(), tokens[ALL]), bytes)
    assert isinstance(await ask(channel, "Predict", m.predict(), tokens[VICTIM]), bytes)


async def status_of(stream: Any) -> grpc.aio.AioRpcError:
    """Returns what a stream has ended with."""
    return grpc.aio.AioRpcError(
        await stream.code(), await stream.initial_metadata(), await stream.trailing_metadata(), await stream.details()
    )


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (HaltRequest(), "MISSING_INPUT"),
        (HaltRequest(scope=HaltScope(everything=False)), "MISSING_INPUT"),
        (HaltRequest(scope=HaltScope(model=m.model("", 3))), "MALFORMED_MESSAGE"),
        (HaltRequest(scope=HaltScope(model=m.model(NAME, -1))), "MALFORMED_MESSAGE"),
        (HaltRequest(scope=HaltScope(symbol="")), "INVALID_SYMBOL"),
        (HaltRequest(scope=HaltScope(symbol="a b")), "INVALID_SYMBOL"),
        (HaltRequest(scope=HaltScope(key_id="../x")), "MALFORMED_MESSAGE"),
        (HaltRequest(scope=EVERYTHING, reason="x" * 257), "LIMIT_EXCEEDED"),
    ],
    ids=str,
)
async def test_a_scope_must_be_meant(
    channel: grpc.aio.Channel, tokens: list[str], request_: HaltRequest, reason: str
) -> None:
    """Nothing at all does not mean everything; names that nothing can have are refused, for halt and resume alike."""
    for method in ("Halt", "Resume"):
        refused = await ask(channel, method, request_, tokens[OPS])
        assert isinstance(refused, Refused)
        assert refused.reason == reason
    listed = await ask(channel, "ListHalts", HaltRequest(), tokens[OPS])
    assert not ListHaltsResponse.FromString(listed).halts


@pytest.mark.asyncio(loop_scope="module")
async def test_the_figures_tell(channel: grpc.aio.Channel, service: Service, tokens: list[str]) -> None:
    """How many halts there are of each kind, and that the store can be read."""
    async with (
        halted(channel, tokens[OPS], HaltScope(symbol="EUR")),
        halted(channel, tokens[OPS], HaltScope(symbol="USD")),
    ):
        state = service.replica.snapshot().halts
        assert (dict(state.counts), state.is_stale) == ({scope("symbol", "EUR").kind: 2}, False)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_new_replica_obeys_what_the_last_one_was_told(
    settings: Settings, service: Service, channel: grpc.aio.Channel, tokens: list[str]
) -> None:
    """From its first answer on; and one that runs already hears of another's resume."""
    async with (
        halted(channel, tokens[OPS], EVERYTHING),
        serving(settings) as second,
        grpc.aio.insecure_channel(second.target) as other,
    ):
        refused = await ask(other, "Predict", m.predict(), tokens[ALL])
        assert isinstance(refused, Refused)
        assert refused.reason == "HALTED"
        ended = await ask(other, "Resume", ResumeRequest(scope=EVERYTHING), tokens[OPS])
        assert isinstance(ended, bytes)
        await eventually(lambda: service.replica._halts.view.is_idle)
        assert isinstance(await ask(channel, "Predict", m.predict(), tokens[ALL]), bytes)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revoked_key_loses_its_open_streams(
    channel: grpc.aio.Channel, keys: tuple[Path, list[Any]], service: Service
) -> None:
    """Soon after the file has changed: a tick stream is told in the stream, and ends."""
    path, made = keys
    extra_token, extra = made_key("extra")
    rest = {key.id: key for _, key in made}
    await asyncio.to_thread(write_keys, path, rest | {"extra": extra})
    ring: KeyRing = service.replica._authorizer._ring  # type: ignore[assignment]
    await asyncio.to_thread(ring.look)
    multi: Any = channel.stream_stream(METHODS["StreamTicks"])
    stream = multi(timeout=TIMEOUT, metadata=(("x-api-key", extra_token),))
    await stream.write(m.opening("EUR").SerializeToString())
    assert StreamTicksResponse.FromString(await stream.read()).HasField("opened")
    await asyncio.to_thread(write_keys, path, rest)
    last = StreamTicksResponse.FromString(await stream.read())
    assert read_status(last.error.error).reason == "API_KEY_INVALID"
    assert await stream.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_without_keys_only_loopback_takes_orders(tmp_path: Path) -> None:
    """A service that others can reach, and that asks nobody who he is, is not stopped by whoever comes by."""
    registry = await asyncio.to_thread(make_registry, tmp_path, versions=1)
    insecure = {"allow_insecure_public_bind": True}
    settings = await asyncio.to_thread(settings_for, registry, host="0.0.0.0", security=insecure)
    async with serving(settings) as open_service, grpc.aio.insecure_channel(open_service.target) as channel:
        refused = await call(channel, "Halt", HaltRequest(scope=EVERYTHING).SerializeToString())
        assert isinstance(refused, Refused)
        assert refused.reason == "METHOD_NOT_ALLOWED"
        assert isinstance(await call(channel, "Predict", m.predict().SerializeToString()), bytes)
        open_service.replica._live.change(settings.model_copy(update={"host": "127.0.0.1"}))
        begun = await call(channel, "Halt", HaltRequest(scope=EVERYTHING).SerializeToString())
        assert isinstance(begun, bytes)
        assert HaltResponse.FromString(begun).halt.author == "anonymous"

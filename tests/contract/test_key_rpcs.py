"""Laws of API keys over a real socket: refusals arrive whole, rights hold in each RPC, and owners keep apart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from batching import PriorityClass
from server.config.settings import Settings
from server.refusal import Reason
from server.rpc.ingress import METHODS, STREAMED_METHODS
from tests.support import messages as m
from tests.support.doors import made_key, written_keys
from tests.support.raw_client import TIMEOUT, Refused, call, read_error, read_status
from tests.support.registry import make_registry, real_bars
from tests.support.service import Service, serving, settings_for
from tickserve.v1 import priority_pb2
from tickserve.v1.prediction_service_pb2 import PredictResponse, StreamPredictResponse, StreamTicksResponse

REAL_TIME, STANDARD = priority_pb2.PRIORITY_REAL_TIME, priority_pb2.PRIORITY_STANDARD
NOBODY = "tsk_nobody_" + "A" * 43
ALL, LOW, TICKS, SAME, OTHER = range(5)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The file of keys and their tokens."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = (
        made_key("all"),
        made_key("low", max_priority=PriorityClass.STANDARD),
        made_key("ticks", methods=("StreamTicks",), owner="house"),
        made_key("same", owner="house"),
        made_key("other"),
    )
    return path, written_keys(path, *made)


@pytest.fixture(scope="module")
def tokens(keys: tuple[Path, list[str]]) -> list[str]:
    """The keys' tokens."""
    return keys[1]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, list[str]]) -> Settings:
    """A service that asks for keys, also for reflection."""
    real_bars(200)
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    return settings_for(registry, security={"keys_file": keys[0], "open_reflection": False})


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


async def stream(
    channel: grpc.aio.Channel, method: str, requests: list[bytes], token: str, *, answers: int = 10**6
) -> list[bytes] | Refused:
    """Sends a stream with a key and returns its answers, up to a number of them, or how it was refused."""
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS[method])
    metadata = (("x-api-key", token),) if token else None
    found: list[bytes] = []
    try:
        async for response in multi(iter(requests), timeout=TIMEOUT, metadata=metadata):
            found.append(response)
            if len(found) == answers:
                break
    except grpc.aio.AioRpcError as error:
        return read_error(error)
    return found


async def ask(channel: grpc.aio.Channel, method: str, token: str) -> Any:
    """Calls a method of either kind without a message that it could answer."""
    if method in STREAMED_METHODS:
        return await stream(channel, method, [], token)
    metadata: dict[str, Any] = {"x_api_key": token} if token else {}
    return await call(channel, method, b"", **metadata)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", sorted(METHODS))
async def test_without_a_valid_key_no_method_answers(channel: grpc.aio.Channel, tokens: list[str], method: str) -> None:
    """Each is refused with its whole status, and with a valid key it is not refused for it."""
    for token, reason in (("", "API_KEY_MISSING"), (NOBODY, "API_KEY_INVALID"), (tokens[ALL] + "x", "API_KEY_INVALID")):
        refused = await ask(channel, method, token)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.domain, refused.reason) == (
            grpc.StatusCode.UNAUTHENTICATED, "tickserve", reason,
        )  # fmt: skip
    outcome = await ask(channel, method, tokens[ALL])
    assert not isinstance(outcome, Refused) or outcome.code is not grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.asyncio(loop_scope="module")
async def test_a_key_opens_its_methods_alone(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """The refusal names the method."""
    for method in METHODS.keys() - {"StreamTicks"}:
        refused = await ask(channel, method, tokens[TICKS])
        assert isinstance(refused, Refused)
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
        assert refused.metadata == {"method": method}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_class_above_the_keys_highest_is_refused(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """In every RPC that names one; the stream lives on. Unspecified counts as standard."""
    low: dict[str, Any] = {"x_api_key": tokens[LOW]}
    for name, request in (("Predict", m.predict(priority=REAL_TIME)), ("PredictBatch", m.batch(priority=REAL_TIME))):
        refused = await call(channel, name, request.SerializeToString(), **low)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PRIORITY_NOT_ALLOWED")
    for priority in (0, STANDARD):
        answered = await call(channel, "Predict", m.predict(priority=priority).SerializeToString(), **low)
        assert isinstance(answered, bytes)
    items = [m.item("urgent", priority=REAL_TIME), m.item("patient")]
    answers = await stream(channel, "StreamPredict", [item.SerializeToString() for item in items], tokens[LOW])
    assert isinstance(answers, list)
    by_id = {response.request_id: response for response in map(StreamPredictResponse.FromString, answers)}
    assert read_status(by_id["urgent"].error).reason == "PRIORITY_NOT_ALLOWED"
    assert by_id["patient"].HasField("prediction")
    opening = m.opening("EUR", priority=REAL_TIME).SerializeToString()
    told = await stream(channel, "StreamTicks", [opening], tokens[LOW])
    assert isinstance(told, list)
    assert read_status(StreamTicksResponse.FromString(told[0]).error.error).reason == "PRIORITY_NOT_ALLOWED"


@pytest.mark.asyncio(loop_scope="module")
async def test_windows_belong_to_their_owner(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """Keys of one owner share them, and no routing key makes anybody else an owner."""
    opening = m.opening("EUR", "USD").SerializeToString()
    told = await stream(channel, "StreamTicks", [opening], tokens[TICKS])
    assert isinstance(told, list)
    reasons = []
    for token in (tokens[SAME], tokens[OTHER]):
        request = m.predict(symbol="EUR").SerializeToString()
        refused = await call(channel, "Predict", request, x_api_key=token, x_tickserve_routing_key="house")
        assert isinstance(refused, Refused)
        reasons.append(refused.reason)
    assert reasons == ["WINDOW_INCOMPLETE", "SYMBOL_NOT_FOUND"]


@pytest.mark.asyncio(loop_scope="module")
async def test_answers_by_request_id_belong_to_their_key(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """Another key's request of the same id is another request, whatever it contains."""
    requests = [m.predict(request_id="order-1", window=m.window(index)) for index in (0, 1)]
    digests = []
    for token, request in zip((tokens[ALL], tokens[OTHER]), requests, strict=True):
        answered = await call(channel, "Predict", request.SerializeToString(), x_api_key=token)
        assert isinstance(answered, bytes)
        digests.append(PredictResponse.FromString(answered).prediction.input.sha256)
    assert digests[0] != digests[1]
    reused = await call(channel, "Predict", requests[1].SerializeToString(), x_api_key=tokens[ALL])
    assert isinstance(reused, Refused)
    assert reused.reason == "REQUEST_ID_REUSED"


@pytest.mark.asyncio(loop_scope="module")
async def test_health_is_open_and_reflection_is_not(channel: grpc.aio.Channel, tokens: list[str]) -> None:
    """Probes have no keys. Whoever asks what there is has one, of whatever methods."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in reflection.ServerReflectionInfo(iter([request]), timeout=TIMEOUT):
            pass
    assert read_error(caught.value).reason == "API_KEY_MISSING"
    metadata = (("authorization", f"Bearer {tokens[TICKS]}"),)
    stream_of = reflection.ServerReflectionInfo(iter([request]), timeout=TIMEOUT, metadata=metadata)
    names = [service.name async for found in stream_of for service in found.list_services_response.service]
    assert "tickserve.v1.PredictionService" in names


@pytest.mark.asyncio(loop_scope="module")
async def test_refusals_are_counted(channel: grpc.aio.Channel, service: Service, tokens: list[str]) -> None:
    """Each once, by its reason; the state of the keys stands beside it."""
    before = service.replica.snapshot().refused_calls.get(Reason.API_KEY_INVALID, 0)
    await asyncio.gather(*(call(channel, "ListModels", b"", x_api_key=NOBODY) for _ in range(7)))
    snapshot = service.replica.snapshot()
    assert snapshot.refused_calls[Reason.API_KEY_INVALID] == before + 7
    assert snapshot.keys is not None
    assert (snapshot.keys.key_count, snapshot.keys.is_stale) == (len(tokens), False)

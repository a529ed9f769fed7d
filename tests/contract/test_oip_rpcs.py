"""Laws of the Open Inference Protocol over a real socket: answers are `Predict`'s, what is told of models is true."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2

from server.config.settings import Settings
from server.rpc.unserved import INFERENCE_SERVICE, UNSERVED
from tests.support import messages as m
from tests.support import oip
from tests.support.raw_client import Refused, call, exchange, read_error
from tests.support.registry import NAME, SMALL, make_registry, real_windows
from tests.support.service import REPLICA_ID, Service, serving, settings_for
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import PredictResponse

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default limits, and a registry with two versions."""
    real_windows()
    return settings_for(make_registry(tmp_path_factory.mktemp("registry")))


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


async def ask(channel: grpc.aio.Channel, method: str, **fields: Any) -> Any:
    """Returns the answer to a method with the given fields."""
    kind = getattr(service_pb2, f"{method}Request")
    answer = await call(channel, method, kind(**fields).SerializeToString())
    assert isinstance(answer, bytes), answer
    return getattr(service_pb2, f"{method}Response").FromString(answer)


async def infer(channel: grpc.aio.Channel, request: Any) -> Any:
    """Returns the answer to a request that is good."""
    answer = await call(channel, "ModelInfer", request.SerializeToString())
    assert isinstance(answer, bytes), answer
    return service_pb2.ModelInferResponse.FromString(answer)


async def predicted(channel: grpc.aio.Channel, indices: tuple[int, ...], **options: Any) -> list[Any]:
    """Returns what `Predict` answers for windows of the real bars, one after the other."""
    found = []
    for index in indices:
        request = m.predict(window=m.window(index), request_id="", options=PredictOptions(**options))
        answer = await call(channel, "Predict", request.SerializeToString())
        assert isinstance(answer, bytes), answer
        found.append(PredictResponse.FromString(answer).prediction)
    return found


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
@pytest.mark.parametrize("indices", [(3,), (5, 6, 7)], ids=["one", "three"])
async def test_answers_are_those_of_predict(channel: grpc.aio.Channel, indices: tuple[int, ...], typed: bool) -> None:
    """To the bit: in either form, alone or several in one request. The cache has them after the first time."""
    predictions = await predicted(channel, indices)
    response = await infer(channel, oip.infer(oip.windows(*indices), typed=typed, id="mine"))
    tensors, wanted = oip.outputs(response), oip.expected(predictions)
    assert list(tensors) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(tensors[name], values, err_msg=name)
    assert (response.id, response.model_name, response.model_version) == ("mine", NAME, "2")
    assert response.parameters["model_sha256"].string_param == predictions[0].model.sha256
    assert response.parameters["replica_id"].string_param == REPLICA_ID


async def test_a_window_computed_by_itself_has_the_same_answer(channel: grpc.aio.Channel) -> None:
    """Nothing of it comes from a cache: `bypass_cache` has each protocol compute."""
    [prediction] = await predicted(channel, (9,), bypass_cache=True)
    tensors = oip.outputs(await infer(channel, oip.infer(oip.windows(9), parameters={"bypass_cache": True})))
    np.testing.assert_array_equal(tensors["class_probabilities"], oip.expected([prediction])["class_probabilities"])


async def test_the_outputs_asked_for_are_answered_in_their_order(channel: grpc.aio.Channel) -> None:
    """And no others; the fused features among them."""
    names = ["features", "class_probabilities"]
    tensors = oip.outputs(await infer(channel, oip.infer(oip.windows(1, 2), outputs=names)))
    assert list(tensors) == names
    assert tensors["features"].shape == (2, SMALL.fusion)
    predictions = await predicted(channel, (1, 2), return_features=True)
    np.testing.assert_array_equal(tensors["features"], np.array([p.features for p in predictions], np.float32))


async def test_a_version_that_is_named_answers(channel: grpc.aio.Channel) -> None:
    """It is loaded when it is first asked for; until then the caller is told to come again."""
    request = oip.infer(oip.windows(4), model_version="1").SerializeToString()
    while isinstance(answer := await call(channel, "ModelInfer", request), Refused):
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        await asyncio.sleep(0.05)
    assert service_pb2.ModelInferResponse.FromString(answer).model_version == "1"


async def test_the_metadata_describes_what_is_answered(channel: grpc.aio.Channel) -> None:
    """A client that knows nothing else can form a request, and each output that is listed can be had, as described."""
    card = await ask(channel, "ModelMetadata", name=NAME)
    [given] = card.inputs
    assert (given.name, given.datatype, list(given.shape)) == ("window", "FP32", [-1, 50, 60])
    assert (card.name, list(card.versions), card.platform) == (NAME, ["1", "2"], "torchscript")
    response = await infer(channel, oip.infer(oip.windows(1, 2), outputs=[output.name for output in card.outputs]))
    for described, answered in zip(card.outputs, response.outputs, strict=True):
        assert (described.name, described.datatype) == (answered.name, answered.datatype)
        assert [2, *described.shape[1:]] == list(answered.shape)


async def test_the_configuration_agrees_with_the_metadata_and_the_settings(
    channel: grpc.aio.Channel, settings: Settings
) -> None:
    """In Triton's terms: what clients size their batches by is the most windows of one request."""
    config = (await ask(channel, "ModelConfig", name=NAME)).config
    card = await ask(channel, "ModelMetadata", name=NAME)
    for configured, described in zip([*config.input, *config.output], [*card.inputs, *card.outputs], strict=True):
        assert (configured.name, list(configured.dims)) == (described.name, list(described.shape[1:]))
    assert config.max_batch_size == settings.max_windows_per_request
    batching = config.dynamic_batching
    assert list(batching.preferred_batch_size) == [settings.scheduler.max_batch_size]
    assert (batching.priority_levels, batching.default_priority_level) == (3, 2)
    assert batching.priority_queue_policy[1].default_timeout_microseconds == 30_000_000
    assert config.parameters["class_labels"].string_value == "sell,hold,buy"


async def test_what_is_ready_is_told(channel: grpc.aio.Channel) -> None:
    """The server, the model that answers; neither a version that is not loaded nor one that does not exist."""
    assert (await ask(channel, "ServerLive")).live
    assert (await ask(channel, "ServerReady")).ready
    assert (await ask(channel, "ServerMetadata")).name == "tickserve"
    assert (await ask(channel, "ModelReady", name=NAME)).ready
    assert (await ask(channel, "ModelReady", name=NAME, version="2")).ready
    for absent in ({"name": NAME, "version": "7"}, {"name": "nobody"}):
        assert not (await ask(channel, "ModelReady", **absent)).ready
    index = await ask(channel, "RepositoryIndex")
    assert [(model.name, model.version) for model in index.models] == [(NAME, "2"), (NAME, "1")]
    assert index.models[0].state == "READY"
    assert (NAME, "2") in [
        (model.name, model.version) for model in (await ask(channel, "RepositoryIndex", ready=True)).models
    ]


async def test_statistics_count_what_was_done(channel: grpc.aio.Channel) -> None:
    """Windows, engine calls and summed times grow by what a request did; a named version is told of alone."""

    async def past() -> Any:
        [found] = (await ask(channel, "ModelStatistics", name=NAME, version="2")).model_stats
        return found

    before = await past()
    await infer(channel, oip.infer(oip.windows(20, 21), parameters={"bypass_cache": True}))
    after = await past()
    assert after.inference_count - before.inference_count == 2
    assert 1 <= after.execution_count - before.execution_count <= 2
    for name in ("success", "queue", "compute_infer"):
        sums = [getattr(each.inference_stats, name) for each in (before, after)]
        assert sums[1].count - sums[0].count == 2
        assert sums[1].ns >= sums[0].ns
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert after.last_inference >= before.last_inference > 0
    everything = await ask(channel, "ModelStatistics")
    assert (NAME, "2") in [(each.name, each.version) for each in everything.model_stats]


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_a_model_that_is_not_there_is_not_described(channel: grpc.aio.Channel, method: str) -> None:
    """NOT_FOUND, as for our own methods."""
    kind = getattr(service_pb2, f"{method}Request")
    for fields, reason in (({"name": "nobody"}, "MODEL_NOT_FOUND"), ({"version": "x"}, "MALFORMED_MESSAGE")):
        refused = await call(channel, method, kind(**fields).SerializeToString())
        assert isinstance(refused, Refused)
        assert refused.reason == reason


@pytest.mark.parametrize("method", sorted(UNSERVED))
async def test_what_is_not_served_is_told_as_such(channel: grpc.aio.Channel, method: str) -> None:
    """UNIMPLEMENTED with its type, as every error of ours has one."""
    unary: Any = channel.unary_unary(f"/{INFERENCE_SERVICE.full_name}/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(b"")
    refused = read_error(caught.value)
    assert (refused.code, refused.domain, refused.reason) == (
        grpc.StatusCode.UNIMPLEMENTED, "tickserve", "NOT_SUPPORTED",
    )  # fmt: skip


async def test_a_stream_is_answered_in_order_and_outlives_errors(channel: grpc.aio.Channel) -> None:
    """As Triton does it: the failed one has its text, its id and a reason for programs; each answer is the last one."""
    spoilt = np.full((1, 50, 60), np.nan, np.float32)
    requests = [oip.infer(spoilt if n == 2 else oip.windows(n), id=str(n)).SerializeToString() for n in range(5)]
    requests[3] = b"\xff garbage"
    found = [
        service_pb2.ModelStreamInferResponse.FromString(answer)
        for answer in await exchange(channel, "ModelStreamInfer", requests)
    ]
    assert [answer.infer_response.id for answer in found] == ["0", "1", "2", "", "4"]
    reasons = [answer.infer_response.parameters["reason"].string_param for answer in found]
    assert reasons == ["", "", "NON_FINITE_VALUE", "MALFORMED_MESSAGE", ""]
    for answer, reason in zip(found, reasons, strict=True):
        assert answer.error_message.startswith(reason)
        assert bool(answer.error_message) is bool(reason)
        assert answer.infer_response.parameters["triton_final_response"].bool_param
    [prediction] = await predicted(channel, (4,))
    tensors = oip.outputs(found[4].infer_response)
    np.testing.assert_array_equal(tensors["class_probabilities"], oip.expected([prediction])["class_probabilities"])

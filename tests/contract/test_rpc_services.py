"""Laws of the RPC services over a real socket: what is good is answered, what is bad refused as the contract says."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from model.feature_schema import SCHEMA_ID
from server.config.settings import Settings
from tests.support import messages as m
from tests.support.bad_input import BAD_INPUTS, MAX_WINDOWS, BadInput
from tests.support.raw_client import Refused, call, exchange, provoke, read_status
from tests.support.registry import make_registry, real_bars, real_windows
from tests.support.service import REPLICA_ID, Service, serving, settings_for
from tickserve.v1 import tick_pb2
from tickserve.v1.model_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    GetStatisticsResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    ModelState,
)
from tickserve.v1.prediction_pb2 import Prediction, PredictOptions
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksRequest,
    StreamTicksResponse,
)
from tickserve.v1.window_pb2 import FloatValues

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default limits, and a registry with two versions; made outside the event loop, for it writes files."""
    real_bars(130)
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


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD_INPUTS])
async def test_bad_input_is_refused_with_its_type(channel: grpc.aio.Channel, case: BadInput) -> None:
    """Each bad input has its code, reason, field and metadata, and harms nothing that is sent beside it."""
    refused = await provoke(channel, case)
    assert (refused.code, refused.domain, refused.reason) == (case.code, "tickserve", case.reason)
    assert refused.metadata.items() >= case.metadata.items()
    if case.code is grpc.StatusCode.INVALID_ARGUMENT:
        assert refused.fields == (case.field,)


async def predict(channel: grpc.aio.Channel, **fields: Any) -> Prediction:
    """Returns the answer to a valid request."""
    response = await call(channel, "Predict", m.predict(**fields).SerializeToString())
    assert isinstance(response, bytes), response
    return PredictResponse.FromString(response).prediction


async def ticks(channel: grpc.aio.Channel, *requests: StreamTicksRequest) -> list[StreamTicksResponse]:
    """Returns all that a tick stream answers."""
    answers = await exchange(channel, "StreamTicks", [request.SerializeToString() for request in requests])
    return [StreamTicksResponse.FromString(answer) for answer in answers]


def kinds(responses: list[StreamTicksResponse]) -> list[str | None]:
    """Returns what kinds of messages they are."""
    return [response.WhichOneof("message") for response in responses]


async def test_an_answer_is_complete(channel: grpc.aio.Channel, service: Service) -> None:
    """Heads, ensemble, weights, evidence and schedule are all there and make sense."""
    window = m.window(5)
    prediction = await predict(channel, window=window)
    assert [c.label for c in prediction.classes] == ["sell", "hold", "buy"]
    for classes in (prediction.classes, prediction.ensemble.classes):
        assert sum(c.probability for c in classes) == pytest.approx(1.0, abs=1e-4)
    assert [r.name for r in prediction.regressions] == ["return", "volatility"]
    assert all(r.standard_deviation > 0 for r in prediction.regressions)
    assert sum(prediction.ensemble.weights) == pytest.approx(1.0, abs=1e-4)
    assert (prediction.model.name, prediction.model.version) == ("cnn_lstm", 2)
    assert prediction.input.sha256 == hashlib.sha256(window.raw_float32).hexdigest()
    assert prediction.input.feature_schema == SCHEMA_ID
    execution = prediction.execution
    assert (execution.replica_id, execution.batch_size) == (REPLICA_ID, 1)
    parts = execution.queue_duration.ToNanoseconds() + execution.inference_duration.ToNanoseconds()
    assert 0 < parts <= execution.total_duration.ToNanoseconds()


async def test_the_same_window_has_the_same_answer(channel: grpc.aio.Channel) -> None:
    """Alone, asked again and in either form: to the last bit."""
    numbers = FloatValues(values=real_windows()[3].ravel().tolist())
    windows = [m.window(3), m.window(3), m.spoilt_window(raw_float32=None, values=numbers)]
    options = PredictOptions(return_features=True, bypass_cache=True)
    answers = [await predict(channel, window=window, options=options) for window in windows]
    for answer in answers:
        answer.ClearField("execution")
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0].features) > 0
    assert (await predict(channel, window=m.window(4))).classes != answers[0].classes


@pytest.mark.parametrize(("given", "served"), [(0, 2), (1, 1), (2, 2), (3, 3)])
async def test_the_class_is_told(channel: grpc.aio.Channel, given: int, served: int) -> None:
    """An idle server serves each request under the class it asked for."""
    assert (await predict(channel, priority=given)).execution.effective_priority == served


@pytest.mark.parametrize("seconds", [301, 315_576_000_000])
async def test_an_absurdly_long_timeout_is_cut(channel: grpc.aio.Channel, service: Service, seconds: int) -> None:
    """It is answered, and the slack shows that no more than the maximum was granted."""
    multi = await call(channel, "Predict", m.predict(timeout=m.duration(seconds)).SerializeToString(), timeout=None)
    assert isinstance(multi, bytes)
    slack = PredictResponse.FromString(multi).prediction.execution.deadline_slack
    assert service.settings.max_timeout - 60 < slack.ToTimedelta().total_seconds() <= service.settings.max_timeout


async def test_a_timeout_too_short_expires(channel: grpc.aio.Channel) -> None:
    """The message's own timeout, the earlier one, ends in a typed error."""
    refused = await call(channel, "Predict", m.predict(timeout=m.duration(0, 1)).SerializeToString())
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "EXPIRED_IN_QUEUE")


async def test_the_rpc_deadline_counts(channel: grpc.aio.Channel) -> None:
    """The slack is measured from the client's own deadline where that is the earlier."""
    response = await call(channel, "Predict", m.predict(timeout=m.duration(200)).SerializeToString(), timeout=20)
    assert isinstance(response, bytes)
    slack = PredictResponse.FromString(response).prediction.execution.deadline_slack
    # gRPC rounds the timeout up on its way: above 10 s to 0.1 s.
    assert slack.ToTimedelta().total_seconds() < 20.1


async def test_the_trace_is_echoed(channel: grpc.aio.Channel) -> None:
    """W3C trace context in the metadata ends up in the answer."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    response = await call(
        channel, "Predict", m.predict().SerializeToString(), traceparent=f"00-{trace}-00f067aa0ba902b7-01"
    )
    assert isinstance(response, bytes)
    assert PredictResponse.FromString(response).prediction.execution.trace_id == trace


async def test_a_batch_is_answered_in_order(channel: grpc.aio.Channel) -> None:
    """As many windows as allowed, each with the answer of its own window, ids echoed."""
    items = [PredictBatchItem(request_id=f"id-{number}", window=m.window(number)) for number in range(MAX_WINDOWS)]
    response = await call(channel, "PredictBatch", m.batch(items).SerializeToString())
    assert isinstance(response, bytes)
    results = PredictBatchResponse.FromString(response).results
    assert [result.request_id for result in results] == [item.request_id for item in items]
    hashes = [hashlib.sha256(item.window.raw_float32).hexdigest() for item in items]
    assert [result.prediction.input.sha256 for result in results] == hashes


async def test_a_stream_answers_each_item_once(channel: grpc.aio.Channel) -> None:
    """More items than may be in flight at once, each with its own answer."""
    count = 300
    requests = [m.item(f"id-{number}", window=m.window(number)).SerializeToString() for number in range(count)]
    responses = [StreamPredictResponse.FromString(r) for r in await exchange(channel, "StreamPredict", requests)]
    answers = {response.request_id: response.prediction.input.sha256 for response in responses}
    assert len(responses) == count
    assert answers == {f"id-{n}": hashlib.sha256(m.window(n).raw_float32).hexdigest() for n in range(count)}


async def test_an_id_in_flight_cannot_be_used_again(channel: grpc.aio.Channel) -> None:
    """The second of two items with one id is refused while the first is unanswered; then the id is free again."""
    twice = [m.item("same").SerializeToString()] * 2
    responses = [StreamPredictResponse.FromString(r) for r in await exchange(channel, "StreamPredict", twice)]
    assert {response.request_id for response in responses} == {"same"}
    reasons = [read_status(r.error).reason if r.HasField("error") else "" for r in responses]
    assert sorted(reasons) in (["", "REQUEST_ID_REUSED"], ["", ""])
    assert len(await exchange(channel, "StreamPredict", twice[:1])) == 1


async def test_ticks_become_predictions(channel: grpc.aio.Channel) -> None:
    """History, then bars: each is due, in order, and its window is the training set's, also for `Predict`."""
    bars = [m.bar_message(bar) for bar in real_bars(130)]
    responses = await ticks(
        channel,
        m.opening("EURUSD"),
        m.history("EURUSD", bars[:120], 120),
        *(m.tick("EURUSD", number + 1, bar=bars[number]) for number in range(120, 130)),
    )
    assert kinds(responses) == ["opened", "progress", *["prediction"] * 10]
    answers = [response.prediction for response in responses[2:]]
    assert [answer.sequence for answer in answers] == list(range(121, 131))
    for answer in answers:
        expected = real_windows()[answer.sequence - 120].astype("<f4").tobytes()
        assert answer.prediction.input.sha256 == hashlib.sha256(expected).hexdigest()
        assert answer.first_sequence == answer.sequence
    by_symbol = await predict(channel, symbol="EURUSD")
    assert by_symbol.input == answers[-1].prediction.input
    probabilities = [[c.probability for c in p.classes] for p in (by_symbol, answers[-1].prediction)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-5)  # they shared other batches


async def test_a_symbols_window_is_judged(channel: grpc.aio.Channel) -> None:
    """Too few bars: WINDOW_INCOMPLETE with figures; bars of 2017: WINDOW_STALE to whoever wants fresh ones."""
    bars = [m.bar_message(bar) for bar in real_bars(120)]
    await ticks(channel, m.opening("FEW", "OLD"), m.history("FEW", bars[:50], 50), m.history("OLD", bars, 120))
    few = await call(channel, "Predict", m.predict(symbol="FEW").SerializeToString())
    old = await call(channel, "Predict", m.predict(symbol="OLD", max_age=m.duration(60)).SerializeToString())
    assert isinstance(few, Refused)
    assert (few.code, few.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WINDOW_INCOMPLETE")
    assert few.metadata == {"have": "50", "need": "120"}
    assert isinstance(old, Refused)
    assert (old.code, old.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WINDOW_STALE")


async def test_a_session_goes_on_where_it_was_left(channel: grpc.aio.Channel) -> None:
    """A later stream hears the state of its symbols; the earlier ticks are duplicates, and nothing was due."""
    await ticks(channel, m.opening("BACK"), *(m.tick("BACK", number) for number in (1, 2, 3)))
    resume = [tick_pb2.ResumePoint(symbol="BACK", last_answered_sequence=1)]
    responses = await ticks(channel, m.opening("BACK", resume=resume), m.tick("BACK", 3), m.tick("BACK", 6))
    assert kinds(responses) == ["opened", "progress", "gap", "progress"]
    [state] = responses[0].opened.symbols
    assert (state.symbol, state.sequence, state.next_sequence, state.have, state.need) == ("BACK", 3, 4, 3, 120)
    assert responses[1].progress.duplicate
    assert (responses[2].gap.first_missing_sequence, responses[2].gap.last_missing_sequence) == (4, 5)


async def test_the_greatest_sequence_does_not_spoil_a_symbol(channel: grpc.aio.Channel) -> None:
    """After it the symbol can still be opened: the next number fits its field."""
    await ticks(channel, m.opening("FAR"), m.tick("FAR", 2**63 - 2, bar=m.bar()))
    [opened] = await ticks(channel, m.opening("FAR"))
    assert opened.opened.symbols[0].next_sequence == 2**63 - 1


async def test_another_version_is_loaded_when_asked_for(channel: grpc.aio.Channel) -> None:
    """First MODEL_LOADING with a delay, then it answers, differently, and `GetModel` says that it is served."""
    first = m.predict(model=m.model("cnn_lstm", 1)).SerializeToString()
    refused = await call(channel, "Predict", first)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
    assert refused.retry_delay
    async with asyncio.timeout(60):
        while isinstance(response := await call(channel, "Predict", first), Refused):
            assert response.reason == "MODEL_LOADING"
    assert PredictResponse.FromString(response).prediction.model.version == 1
    described = await call(channel, "GetModel", GetModelRequest(model=m.model(version=1)).SerializeToString())
    assert isinstance(described, bytes)
    model = GetModelResponse.FromString(described).model
    assert (model.state, model.is_default) == (ModelState.MODEL_STATE_SERVING, False)
    assert (model.engine.name, model.engine.precision) == ("torchscript", "fp32")


async def test_models_are_listed_in_pages(channel: grpc.aio.Channel) -> None:
    """Newest version first, one at a time, with what a client needs to build a window."""
    listed: list[Model] = []
    token = ""
    for _ in range(2):
        request = ListModelsRequest(page_size=1, page_token=token)
        response = await call(channel, "ListModels", request.SerializeToString())
        assert isinstance(response, bytes)
        page = ListModelsResponse.FromString(response)
        listed += page.models
        token = page.next_page_token
    assert token == ""
    assert [(model.version.name, model.version.version) for model in listed] == [("cnn_lstm", 2), ("cnn_lstm", 1)]
    assert (listed[0].feature_schema, listed[0].feature_count, listed[0].time_steps) == (SCHEMA_ID, 50, 60)
    assert listed[0].bar_interval.ToSeconds() == 3600
    assert listed[0].training_metrics["test.accuracy"] == 0.34
    assert listed[0].is_default


async def test_statistics_count(channel: grpc.aio.Channel) -> None:
    """Every request that ended is in one of the outcomes."""
    response = await call(channel, "GetStatistics", b"")
    assert isinstance(response, bytes)
    [replica] = GetStatisticsResponse.FromString(response).replicas
    outcomes = dict(replica.outcome_counts)
    submitted = outcomes.pop("submitted")
    assert 0 <= outcomes.pop("shared") < submitted  # no outcome: those that shared an execution have each their own
    assert replica.replica_id == REPLICA_ID
    assert sum(outcomes.values()) + replica.in_flight_count == submitted > 0
    assert [entry.priority for entry in replica.classes] == [1, 2, 3]


async def test_health_is_told_per_service_and_model(channel: grpc.aio.Channel) -> None:
    """The standard protocol, with the names of the design."""
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "tickserve.v1.PredictionService", "cnn_lstm"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_describes_every_service(channel: grpc.aio.Channel) -> None:
    """All of them are listed, and each can be looked up with its file."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest
    [listed] = [r async for r in stub.ServerReflectionInfo(iter([ask(list_services="")]))]
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        "tickserve.v1.PredictionService", "tickserve.v1.ModelService", "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection", "tickserve.v1.HaltService",
            "inference.GRPCInferenceService",
    }  # fmt: skip
    looked_up = [r async for r in stub.ServerReflectionInfo(iter([ask(file_containing_symbol=n) for n in names]))]
    assert all(response.HasField("file_descriptor_response") for response in looked_up)


async def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.aio.Channel) -> None:
    """As gRPC says it."""
    multi: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/tickserve.v1.PredictionService/No")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await multi(b"", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

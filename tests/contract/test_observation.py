"""Laws of observation over real RPCs: each request, engine call and RPC ends in one record, and the record is true."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import fields

import grpc
import pytest

from batching import PriorityClass
from server.config.settings import Settings
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.observation.sampler import Sampler
from server.refusal import Reason
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.bad_input import BAD_INPUTS, BadInput
from tests.support.fakes import POISON, FakeEngine, use_engine
from tests.support.observed import Recorder
from tests.support.raw_client import Refused, call, exchange, provoke
from tests.support.registry import make_registry, real_bars
from tests.support.service import Service, serving, settings_for
from tests.support.windows import eventually
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import PredictBatchItem, PredictResponse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
ONE_BY_ONE = PredictOptions(bypass_cache=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default limits, and a registry with two versions; made outside the event loop, for it writes files."""
    real_bars(130)
    registry = make_registry(tmp_path_factory.mktemp("registry"))
    return settings_for(registry, health={"deep_interval": 0})  # it makes engine calls of its own


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds the engine while it is clear; set at first."""
    event = threading.Event()
    event.set()
    yield event
    event.set()


@pytest.fixture
def engine(gate: threading.Event) -> FakeEngine:
    """Computes while the gate is open."""
    fake = FakeEngine()
    fake.wait = lambda: gate.wait(60)
    return fake


@pytest.fixture
def recorder() -> Recorder:
    """Hears of everything."""
    return Recorder()


@pytest.fixture
def sampler() -> Sampler:
    """Decides about calls that have no trace."""
    return Sampler()


@pytest.fixture
async def service(
    settings: Settings, recorder: Recorder, engine: FakeEngine, sampler: Sampler
) -> AsyncIterator[Service]:
    """A replica on a socket whose engine answers at once."""
    with use_engine(lambda: engine):
        async with serving(settings, observers=[recorder], sampler=sampler) as running:
            # As if spans were recorded, and traces begun by callers alone.
            sampler.is_enabled, sampler.ratio = True, 0.0
            yield running


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        yield connected


async def until(recorder: Recorder, *, rpcs: int) -> None:
    """Returns when so many RPCs have ended: a client may have its answer before that."""
    await eventually(lambda: len(recorder.rpcs) >= rpcs)


async def until_held(engine: FakeEngine, count: int = 1) -> None:
    """Returns when the engine has been given so many batches."""
    await eventually(lambda: len(engine.batches) >= count)


async def test_an_answer_leaves_one_record_of_each_kind(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """The engine call first, then the request, then the RPC; and they say what the answer says."""
    response = await call(channel, "Predict", m.predict(priority=1, timeout=m.duration(30)).SerializeToString())
    assert isinstance(response, bytes)
    await until(recorder, rpcs=1)
    [record], [run], [rpc] = recorder.requests, recorder.batches, recorder.rpcs
    assert [kind.__name__ for kind in recorder.kinds] == ["BatchRun", "RequestRecord", "RpcRecord"]
    assert (record.kind, record.outcome, record.reason) == (RequestKind.UNARY, Outcome.ANSWERED, None)
    assert (record.method, record.request_id, record.priority) == ("Predict", "r", PriorityClass.REAL_TIME)
    assert record.model is not None
    assert (record.model.key, record.batch) == (("cnn_lstm", 2), run)
    assert (run.size, run.failed, run.members, run.is_probe) == (1, False, (), False)
    assert (rpc.method, rpc.code, rpc.reason, rpc.is_streamed) == ("Predict", "OK", None, False)
    assert rpc.call is record.call
    assert record.trace is None
    told = PredictResponse.FromString(response).prediction.execution
    stages = record.stages
    assert stages is not None
    assert stages.queue <= told.queue_duration.ToNanoseconds() / 1e9 + 1e-9
    assert told.total_duration.ToNanoseconds() / 1e9 <= record.duration + 1e-9
    assert record.deadline is not None
    assert record.deadline == pytest.approx(record.received_at + 30.0)


async def test_the_stages_add_up(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """To the duration, each at least zero; so do the times of the engine call, in order."""
    items = [PredictBatchItem(request_id=f"{n}", window=m.window(n)) for n in range(5)]
    await call(channel, "PredictBatch", m.batch(items).SerializeToString())
    await exchange(
        channel, "StreamPredict", [m.item(f"{n}", window=m.window(n)).SerializeToString() for n in range(5, 12)]
    )
    await until(recorder, rpcs=2)
    assert len(recorder.requests) == 12
    for record in recorder.requests:
        assert record.stages is not None
        seconds = [getattr(record.stages, field.name) for field in fields(record.stages)]
        assert min(seconds) >= 0.0
        assert sum(seconds) == pytest.approx(record.duration, abs=1e-9)
    for run in recorder.batches:
        times = [run.started_at, run.engine_started_at, run.engine_ended_at, run.ended_at]
        assert times == sorted(times)
        assert run.device_duration == run.engine_ended_at - run.engine_started_at
    assert sum(run.size for run in recorder.batches) == 12
    assert [run.batch_id for run in recorder.batches] == list(range(1, len(recorder.batches) + 1))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD_INPUTS])
async def test_bad_input_is_refused_in_one_record(
    channel: grpc.aio.Channel, recorder: Recorder, case: BadInput
) -> None:
    """With the reason that the caller is told, of the request or, where it is none, of the RPC alone."""
    await provoke(channel, case)
    await until(recorder, rpcs=1)
    refused = [record for record in recorder.requests if record.outcome is Outcome.REFUSED]
    reasons = {record.reason for record in refused} | {rpc.reason for rpc in recorder.rpcs if rpc.reason is not None}
    if case.method != "StreamTicks":  # there nothing is asked for: a bad tick makes no prediction due
        assert reasons == {Reason[case.reason]}
    assert all(record.answer is None and record.batch is None for record in refused)
    assert all(rpc.code == case.code.name for rpc in recorder.rpcs if rpc.reason is not None)
    if case.method in ("Predict", "StreamPredict") or case.in_item:
        assert len(refused) == 1


async def test_a_batch_that_is_refused_as_a_whole_is_so_item_by_item(
    channel: grpc.aio.Channel, recorder: Recorder
) -> None:
    """Two windows for a model that is not there are two refusals; what cannot be read is one."""
    await call(channel, "PredictBatch", m.batch(model=m.model("absent")).SerializeToString())
    await call(channel, "PredictBatch", b"\xff")
    await until(recorder, rpcs=2)
    assert [record.reason for record in recorder.requests] == [Reason.MODEL_NOT_FOUND] * 2 + [Reason.MALFORMED_MESSAGE]
    assert all(record.kind is RequestKind.BATCH_ITEM for record in recorder.requests)


async def test_other_rpcs_leave_no_requests(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """Only what asks for a prediction is one."""
    for method in ("ListModels", "GetStatistics"):
        assert isinstance(await call(channel, method, b""), bytes)
    refused = await call(channel, "GetModel", b"\xff")
    assert isinstance(refused, Refused)
    await until(recorder, rpcs=3)
    assert [(rpc.method, rpc.code) for rpc in recorder.rpcs] == [
        ("ListModels", "OK"),
        ("GetStatistics", "OK"),
        ("GetModel", "INVALID_ARGUMENT"),
    ]
    assert (recorder.requests, recorder.batches) == ([], [])


async def test_an_engines_failure_is_everybodys(
    channel: grpc.aio.Channel, recorder: Recorder, engine: FakeEngine
) -> None:
    """The engine call has failed, and so has its request, with the reason that hides the cause."""
    engine.error = RuntimeError("secret")
    await call(channel, "Predict", m.predict().SerializeToString())
    await until(recorder, rpcs=1)
    [record], [run], [rpc] = recorder.requests, recorder.batches, recorder.rpcs
    assert run.failed
    assert (record.outcome, record.reason) == (Outcome.REFUSED, Reason.INFERENCE_FAILED)
    assert (rpc.code, rpc.reason) == ("INTERNAL", Reason.INFERENCE_FAILED)


async def test_an_invalid_answer_is_a_failed_request_of_a_good_batch(
    channel: grpc.aio.Channel, recorder: Recorder
) -> None:
    """The engine has answered; only this window's answer is none."""
    window = m.spoilt_window(raw_float32=m.floats(at=0, value=POISON))
    await call(channel, "Predict", m.predict(window=window).SerializeToString())
    await until(recorder, rpcs=1)
    assert not recorder.batches[0].failed
    assert recorder.requests[0].reason is Reason.INFERENCE_FAILED


async def test_one_that_is_given_up_is_cancelled(
    channel: grpc.aio.Channel, recorder: Recorder, engine: FakeEngine, gate: threading.Event, service: Service
) -> None:
    """In time: neither answered nor refused, while it is computed and while it waits behind that."""
    gate.clear()
    multi: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHODS["Predict"])
    running = multi(m.predict(window=m.window(1)).SerializeToString())
    await until_held(engine)
    waiting = multi(m.predict(window=m.window(2)).SerializeToString())
    await eventually(lambda: service.replica.snapshot().scheduler.submitted == 2)
    for given_up in (running, waiting):
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
    await until(recorder, rpcs=2)
    gate.set()
    assert isinstance(await call(channel, "Predict", m.predict(window=m.window(3)).SerializeToString()), bytes)
    await until(recorder, rpcs=3)
    assert [record.outcome for record in recorder.requests] == [Outcome.CANCELLED] * 2 + [Outcome.ANSWERED]
    assert [rpc.code for rpc in recorder.rpcs] == ["CANCELLED", "CANCELLED", "OK"]


async def test_an_answer_that_is_known_had_no_engine_call(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """By its window it has an answer that says so, by its id none: it repeats what the first was told."""
    unique = "00000000-0000-4000-8000-000000000001"
    for request in (m.predict(request_id=unique), m.predict(request_id=""), m.predict(request_id=unique)):
        assert isinstance(await call(channel, "Predict", request.SerializeToString()), bytes)
    await until(recorder, rpcs=3)
    computed, known, repeated = recorder.requests
    assert [record.outcome for record in recorder.requests] == [Outcome.ANSWERED] * 3
    assert (computed.is_cached, computed.is_replay, len(recorder.batches)) == (False, False, 1)
    assert (known.is_cached, known.is_replay, known.batch, known.stages) == (True, False, None, None)
    assert known.answer is not None
    assert known.answer.cached
    assert (repeated.is_cached, repeated.is_replay, repeated.answer) == (True, True, None)


async def test_due_predictions_are_requests(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """Each of its symbol; the stream itself is one RPC."""
    bars = [m.bar_message(bar) for bar in real_bars(123)]
    requests = [
        m.opening("EURUSD"),
        m.history("EURUSD", bars[:120], 120),
        *(m.tick("EURUSD", number + 1, bar=bars[number]) for number in range(120, 123)),
    ]
    await exchange(channel, "StreamTicks", [request.SerializeToString() for request in requests])
    await until(recorder, rpcs=1)
    assert [(r.kind, r.symbol, r.outcome) for r in recorder.requests] == [
        (RequestKind.TICK, "EURUSD", Outcome.ANSWERED)
    ] * 3
    [rpc] = recorder.rpcs
    assert (rpc.method, rpc.is_streamed, rpc.code) == ("StreamTicks", True, "OK")
    assert recorder.kinds[-1] is RpcRecord


async def test_a_stream_that_is_given_up_ends_all_that_it_asked(
    channel: grpc.aio.Channel, recorder: Recorder, engine: FakeEngine, gate: threading.Event
) -> None:
    """Items that the engine has, that wait, and that have found no place: each is cancelled once."""
    gate.clear()
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamPredict"])
    stream = multi()
    for number in range(20):
        await stream.write(m.item(f"{number}", window=m.window(number), options=ONE_BY_ONE).SerializeToString())
    await until_held(engine)
    stream.cancel()
    await until(recorder, rpcs=1)
    gate.set()
    assert {record.outcome for record in recorder.requests} == {Outcome.CANCELLED}
    ids = [record.request_id for record in recorder.requests]
    assert len(ids) == len(set(ids)) <= 20
    assert recorder.rpcs[0].code == "CANCELLED"
    assert recorder.kinds.index(RpcRecord) == recorder.kinds.count(RequestRecord)


async def test_a_sampled_callers_trace_goes_on(channel: grpc.aio.Channel, recorder: Recorder) -> None:
    """A unary request's span is its RPC's, an item's a child of it; the engine call links every sampled member."""
    request = m.predict(window=m.window(9))
    await call(channel, "Predict", request.SerializeToString(), traceparent=SAMPLED)
    await call(channel, "PredictBatch", m.batch().SerializeToString(), traceparent=SAMPLED)
    await call(channel, "Predict", m.predict(window=m.window(5)).SerializeToString(), traceparent=SAMPLED[:-1] + "0")
    await until(recorder, rpcs=3)
    single, *items, unsampled = recorder.requests
    assert single.trace is not None
    assert (single.trace.trace_id, single.trace.parent_span_id) == (TRACE, SPAN)
    assert single.trace is recorder.rpcs[0].call.trace
    parent = recorder.rpcs[1].call.trace
    assert parent is not None
    for item in items:
        assert item.trace is not None
        assert (item.trace.trace_id, item.trace.parent_span_id) == (TRACE, parent.span_id)
    spans = {record.trace.span_id for record in (single, *items) if record.trace is not None}
    assert len(spans) == 3
    assert {member.span_id for run in recorder.batches for member in run.members} == spans
    assert unsampled.trace is not None
    assert (unsampled.trace.trace_id, unsampled.trace.is_sampled) == (TRACE, False)


@pytest.mark.parametrize("traceparent", ["", "00-nonsense-01"])
async def test_a_call_without_a_trace_may_begin_one(
    channel: grpc.aio.Channel, recorder: Recorder, sampler: Sampler, traceparent: str
) -> None:
    """Where the sampler says so: a root, whose id the answer tells; else none, and the answer's id is empty."""
    ids = []
    for ratio in (1.0, 0.0):
        sampler.ratio = ratio
        response = await call(channel, "Predict", m.predict().SerializeToString(), traceparent=traceparent)
        assert isinstance(response, bytes)
        ids.append(PredictResponse.FromString(response).prediction.execution.trace_id)
    await until(recorder, rpcs=2)
    root, untraced = (record.trace for record in recorder.requests)
    assert root is not None
    assert (root.trace_id, root.parent_span_id, root.is_sampled) == (ids[0], "", True)
    assert (untraced, ids[1]) == (None, "")


async def test_an_engine_call_links_those_that_share_it(
    channel: grpc.aio.Channel, recorder: Recorder, engine: FakeEngine, gate: threading.Event, service: Service
) -> None:
    """Two calls for one window are one execution: it is a part of both traces, and each record knows it."""
    gate.clear()
    request = m.predict(window=m.window(1), request_id="").SerializeToString()
    calls = [asyncio.create_task(call(channel, "Predict", request, traceparent=SAMPLED))]
    await until_held(engine)
    calls.append(asyncio.create_task(call(channel, "Predict", request, traceparent=SAMPLED)))
    await eventually(lambda: service.replica.snapshot().scheduler.shared == 1)
    gate.set()
    await asyncio.gather(*calls)
    await until(recorder, rpcs=2)
    [run] = recorder.batches
    assert run.size == 1
    assert {member.span_id for member in run.members} == {r.trace.span_id for r in recorder.requests if r.trace}
    assert len(run.members) == 2
    assert all(record.batch is run for record in recorder.requests)
    for record in recorder.requests:
        assert record.stages is not None
        assert sum(getattr(record.stages, f.name) for f in fields(record.stages)) == pytest.approx(record.duration)

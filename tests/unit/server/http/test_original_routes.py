"""The original design's endpoints, to the byte: what callers of its gateway read, in its names, order and types.

The clock ticks by 1/64 s each time it is looked at, and the predictions are fixed: so is every byte of the answers.
"""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf.message import Message

from server.call import Call
from server.config.settings import Settings
from server.http.http_app import build_http_app
from server.http.http_call import ApiSource, HttpCalls
from server.http.original_routes import original_router
from server.http.original_stats import EngineTally
from server.observation.sampler import Sampler
from server.refusal import Reason, Refusal
from server.rpc.decode import Received
from server.rpc.dispatch import Dispatcher
from server.rpc.errors import refusal_of, to_status
from tests.support.ended_records import batch_run
from tests.support.http_api import nested, post
from tests.support.http_calls import fetch
from tests.support.registry import real_windows
from tickserve.v1 import model_service_pb2, prediction_pb2, priority_pb2
from tickserve.v1 import prediction_service_pb2 as pb

RESULT = (
    '"classification_probs":[0.25,0.5,0.25],"regression_pred":[0.001953125,0.03125],'
    '"regression_uncertainty":[0.5,0.125],"ensemble_weights":[0.75,0.25],"processing_time_ms":1.5'
)
TRIMMED = (
    '"classification_probs":[0.25,0.5,0.25],"regression_pred":[0.001953125,0.03125],'
    '"regression_uncertainty":null,"ensemble_weights":null,"processing_time_ms":1.5'
)
OFF = {"return_uncertainty": False, "use_ensemble": False}


def prediction() -> prediction_pb2.Prediction:
    """Returns a prediction of numbers that are short in every notation, from a batch of four."""
    made = prediction_pb2.Prediction()
    for label, probability in (("sell", 0.25), ("hold", 0.5), ("buy", 0.25)):
        made.classes.add(label=label, probability=probability)
    for name, mean, deviation in (("return", 2**-9, 0.5), ("volatility", 2**-5, 0.125)):
        made.regressions.add(name=name, mean=mean, standard_deviation=deviation)
    made.ensemble.weights.extend([0.75, 0.25])
    made.execution.inference_duration.FromMicroseconds(6000)
    made.execution.batch_size = 4
    return made


class Service:
    """Answers with fixed messages.

    Attributes:
        asked: Messages that it was sent, by method.
        errors: Errors of the items of a batch, by index.
        refusal: Of every call; None: they are answered.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.errors: dict[int, Refusal] = {}
        self.refusal: Refusal | None = None
        methods = {
            "Predict": (pb.PredictRequest, self.predict),
            "PredictBatch": (pb.PredictBatchRequest, self.predict_batch),
            "GetStatistics": (model_service_pb2.GetStatisticsRequest, self.statistics),
            "GetModel": (model_service_pb2.GetModelRequest, self.model),
        }
        self.dispatcher = Dispatcher(
            unary={name: self._method(name, kind, answer) for name, (kind, answer) in methods.items()}, streamed={}
        )

    def _method(self, name: str, kind: Any, answer: Any) -> Any:
        async def serve(data: Received, call: Call) -> Message:
            if isinstance(data, Refusal):
                raise data
            if self.refusal is not None:
                raise self.refusal
            request = kind.FromString(data)
            self.asked.append((name, request))
            response: Message = answer(request)
            return response

        return serve

    def predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        """Answers one."""
        del request
        return pb.PredictResponse(prediction=prediction())

    def predict_batch(self, request: pb.PredictBatchRequest) -> pb.PredictBatchResponse:
        """Answers each, or not."""
        if not request.items:
            raise Refusal(Reason.MISSING_INPUT, "Send at least one item.", field="items")
        results = [
            pb.PredictBatchResult(error=to_status(self.errors[index]))
            if index in self.errors
            else pb.PredictBatchResult(prediction=prediction())
            for index in range(len(request.items))
        ]
        return pb.PredictBatchResponse(results=results)

    def statistics(self, request: object) -> model_service_pb2.GetStatisticsResponse:
        """Tells figures."""
        del request
        own = model_service_pb2.ReplicaStatistics(
            in_flight_count=1, batch_count=9, models=[prediction_pb2.ModelVersion(version=2)]
        )
        own.classes.add(priority=priority_pb2.PRIORITY_REAL_TIME, queued_count=3)
        own.classes.add(priority=priority_pb2.PRIORITY_BACKGROUND, queued_count=5)
        for value, name in enumerate(("submitted", "completed", "failed", "expired_in_queue", "cancelled"), 10):
            own.outcome_counts[name] = value
        return model_service_pb2.GetStatisticsResponse(replicas=[own])

    def model(self, request: object) -> model_service_pb2.GetModelResponse:
        """Tells the engine."""
        del request
        engine = model_service_pb2.Engine(name="openvino", device="CPU")
        return model_service_pb2.GetModelResponse(model=model_service_pb2.Model(engine=engine))


@pytest.fixture
def service() -> Service:
    """What answers."""
    return Service()


@pytest.fixture
def tally() -> EngineTally:
    """What the engine did."""
    return EngineTally()


@pytest.fixture
def app(service: Service, tally: EngineTally, tmp_path: Path) -> FastAPI:
    """The application, with a clock that ticks when it is looked at."""
    ticks = itertools.count(1)
    source = ApiSource(dispatcher=service.dispatcher, settings=Settings(registry=tmp_path))
    calls = HttpCalls(lambda: source, sampler=Sampler(), clock=lambda: next(ticks) / 64)
    return build_http_app(lambda: None, routers=[original_router(calls, tally)])


GOLDEN = [
    pytest.param(
        *("/ray-serve/predict", {"data": [nested()]}),
        f'{{"predictions":{{{RESULT}}},"processing_time_ms":1.5,"uncertainty":{{"regression_uncertainty":[0.5,0.125]}}}}',
        id="ray-serve",
    ),
    pytest.param(
        *("/ray-serve/predict", {"data": nested()} | OFF),
        f'{{"predictions":{{{TRIMMED}}},"processing_time_ms":1.5,"uncertainty":null}}',
        id="ray-serve-trimmed",
    ),
    pytest.param(
        *("/batch-optimized/predict/single", {"data": nested(), "priority": "high"}),
        f'{{"result":{{{RESULT},"batch_size":4}},"processing_time_ms":31.25,"priority":"high"}}',
        id="single",
    ),
    pytest.param(
        *("/batch-optimized/predict/single", {"data": nested()} | OFF),
        f'{{"result":{{{TRIMMED},"batch_size":4}},"processing_time_ms":31.25,"priority":"normal"}}',
        id="single-trimmed",
    ),
    pytest.param(
        *("/batch-optimized/predict/batch", {"requests": [nested(0), nested(1)], "priority": "low"}),
        f'{{"results":[{{{RESULT},"batch_size":4}},{{{RESULT},"batch_size":4}}],"total_processing_time_ms":31.25,'
        '"average_latency_ms":15.625,"batch_size":2,"optimization_used":true}',
        id="batch",
    ),
    pytest.param(
        *("/batch-optimized/predict/batch", {"requests": [nested()], "batch_optimized": False} | OFF),
        f'{{"results":[{{{TRIMMED},"batch_size":4}}],"total_processing_time_ms":31.25,'
        '"average_latency_ms":31.25,"batch_size":1,"optimization_used":false}',
        id="batch-not-optimized",
    ),
    pytest.param(
        *("/batch-optimized/predict/batch", {"requests": []}),
        '{"results":[],"total_processing_time_ms":31.25,"average_latency_ms":0,"batch_size":0,"optimization_used":true}',
        id="batch-of-none",
    ),
]


@pytest.mark.parametrize(("path", "body", "expected"), GOLDEN)
async def test_answers_are_the_originals_to_the_byte(app: FastAPI, path: str, body: object, expected: str) -> None:
    """Names, order, types and layout."""
    reply = await post(app, path, body)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.body.decode() == expected


async def test_figures_are_the_originals_to_the_byte(app: FastAPI, tally: EngineTally) -> None:
    """Of the two deployments that there were; a probe of ours, or a failed call, is no request."""
    empty = '{"request_count":0,"avg_processing_time_ms":0,"device":"CPU"}'
    assert (await fetch(app, "/ray-serve/stats")).body.decode() == empty
    run = dataclasses.replace(batch_run(size=4), engine_started_at=1.0, engine_ended_at=1.5)
    for each in (
        run,
        dataclasses.replace(run, size=60, engine_ended_at=1.3),
        dataclasses.replace(run, is_probe=True),
        dataclasses.replace(run, failed=True),
    ):
        tally.batch_ended(each)
    figures = '{"request_count":64,"avg_processing_time_ms":12.5,"device":"CPU"}'
    assert (await fetch(app, "/ray-serve/stats")).body.decode() == figures
    assert (await fetch(app, "/batch-optimized/stats")).body.decode() == (
        '{"device":"CPU","model_loaded":true,"batch_scheduler_stats":{"queue_size":{"high":3,"normal":0,"low":5},'
        '"in_flight":1,"batches":9,"submitted":10,"completed":11,"failed":12,"expired_in_queue":13,'
        '"expired_in_execution":0,"cancelled":14},"config":{"max_batch_size":64,"max_wait_time_seconds":0.0,'
        '"enable_adaptive_batching":true,"enable_model_compilation":true}}'
    )


@pytest.mark.parametrize(
    ("priority", "number"), [("high", 1), ("normal", 2), ("low", 3), ("HIGH", 2), ("", 2), ("urgent", 2)]
)
async def test_priorities_are_the_originals(app: FastAPI, service: Service, priority: str, number: int) -> None:
    """A word that its table did not have was the class in the middle, and came back as it was sent."""
    reply = await post(app, "/batch-optimized/predict/single", {"data": nested(), "priority": priority})
    await post(app, "/batch-optimized/predict/batch", {"requests": [nested()], "priority": priority})
    assert reply.json["priority"] == priority
    assert [request.priority for _, request in service.asked] == [number, number]


@pytest.mark.parametrize("path", ["/ray-serve/predict", "/batch-optimized/predict/single"])
async def test_a_window_is_the_one_that_was_sent(app: FastAPI, service: Service, path: str) -> None:
    """Bit for bit, and the options with it."""
    await post(app, path, {"data": nested(2)} | OFF)
    [(_, request)] = service.asked
    assert request.window.raw_float32 == real_windows()[2].tobytes()
    assert (request.window.feature_count, request.window.time_steps) == (50, 60)
    assert not request.options.return_uncertainty
    assert not request.options.use_ensemble


async def test_truths_are_read_as_the_original_read_them(app: FastAPI, service: Service) -> None:
    """Its gateway took texts and numbers for them; members that it did not know it passed over."""
    body = {"data": nested(), "return_uncertainty": "false", "use_ensemble": 0, "model": "x"}
    reply = await post(app, "/batch-optimized/predict/single", body)
    assert reply.json["result"]["regression_uncertainty"] is None
    assert not service.asked[0][1].options.use_ensemble


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "INVALID_SHAPE"),
        ([1.0, 2.0], "INVALID_SHAPE"),
        ([[1.0], [1.0, 2.0]], "INVALID_SHAPE"),
        ([["a"]], "INVALID_SHAPE"),
        ([[{}]], "INVALID_SHAPE"),
        ([[[1.0]], [[1.0]]], "INVALID_SHAPE"),
        ([[[[1.0]]]], "INVALID_SHAPE"),
        ({}, "MALFORMED_MESSAGE"),
        (None, "MALFORMED_MESSAGE"),
    ],
)
async def test_what_is_no_window_is_refused(app: FastAPI, data: object, reason: str) -> None:
    """With the member to blame; the original said 500 and an exception's text."""
    for path, body, field in (
        ("/ray-serve/predict", {"data": data}, "data"),
        ("/batch-optimized/predict/single", {"data": data}, "data"),
        ("/batch-optimized/predict/batch", {"requests": [nested(), data]}, "requests[1]"),
    ):
        reply = await post(app, path, body)
        assert (reply.status, reply.json["reason"]) == (400, reason)
        if "requests" in body or reason == "INVALID_SHAPE":
            assert reply.json["field"] == field


@pytest.mark.parametrize("path", ["/ray-serve/predict", "/batch-optimized/predict/single"])
async def test_a_member_that_must_be_there_is_missed(app: FastAPI, path: str) -> None:
    """By its name; and a literal that JSON has not is told as such."""
    reply = await post(app, path, {})
    assert (reply.status, "`data`" in reply.json["detail"]) == (400, True)
    reply = await post(app, path, b'{"data": [[NaN]]}')
    assert (reply.status, reply.json["reason"]) == (400, "NON_FINITE_VALUE")


async def test_a_refused_window_is_told_as_the_member_it_was(app: FastAPI, service: Service) -> None:
    """Not by the contract's name for it; `detail` is a text, as it was."""
    service.refusal = Refusal(Reason.INVALID_SHAPE, "No.", field="window.time_steps")
    for path in ("/ray-serve/predict", "/batch-optimized/predict/single"):
        reply = await post(app, path, {"data": nested()})
        assert (reply.status, reply.json["field"], reply.json["detail"]) == (400, "data", "No.")
    service.refusal = Refusal(Reason.QUEUE_FULL, "Full.", retry_delay=0.2)
    reply = await post(app, "/batch-optimized/predict/batch", {"requests": [nested()]})
    assert (reply.status, reply.headers["retry-after"], reply.json["retryDelay"]) == (429, "1", "0.200s")


async def test_one_window_that_fails_fails_all(app: FastAPI, service: Service) -> None:
    """As in the original, which had no results of single windows."""
    service.errors[1] = Refusal(Reason.NON_FINITE_VALUE, "No.", field="items[1].window.values", metadata={"index": "3"})
    reply = await post(app, "/batch-optimized/predict/batch", {"requests": [nested(), nested()]})
    assert (reply.status, reply.json["reason"], reply.json["field"]) == (400, "NON_FINITE_VALUE", "requests[1]")
    assert reply.json["metadata"] == {"index": "3"}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_survives_the_wire(reason: Reason) -> None:
    """What a status says is what was refused; the field where the code has one."""
    refusal = Refusal(reason, "No.", field="window", retry_delay=0.25, metadata={"a": "b"})
    read = refusal_of(to_status(refusal))
    assert (read.reason, read.message, read.retry_delay, read.metadata) == (reason, "No.", 0.25, {"a": "b"})
    assert read.field in ("window", "")
    assert refusal_of(to_status(Refusal(reason, "No."))).retry_delay is None


def test_the_golden_bodies_are_json() -> None:
    """Each is what it says."""
    for case in GOLDEN:
        json.loads(str(case.values[2]))

"""The loops against a service of the test's own: nothing a server does changes what an open loop sends."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from benchmarks.load.driver import Generator
from benchmarks.load.plan import ExpectedModel, Plan, Traffic
from tickserve.v1.prediction_pb2 import ClassProbability, ModelVersion, Prediction, Regression
from tickserve.v1.prediction_service_pb2 import (
    PredictRequest,
    PredictResponse,
    StreamPredictRequest,
    StreamPredictResponse,
)

MODEL = ExpectedModel(name="cnn_lstm", version=1, sha256="")
RIGHT = Prediction(
    classes=[ClassProbability(label=label, probability=1 / 3) for label in ("sell", "hold", "buy")],
    regressions=[Regression(name="return"), Regression(name="volatility")],
    model=ModelVersion(name="cnn_lstm", version=1),
)


class Fake:
    """Answers every request rightly, after `delay` seconds from receipt; keeps the windows it has seen."""

    def __init__(self) -> None:
        self.delay: Callable[[], float] = lambda: 0.0
        self.windows: list[bytes] = []
        self.identities: set[str] = set()

    async def predict(self, request: PredictRequest, context: Any) -> PredictResponse:
        """Serves `Predict`."""
        self._saw(request, context)
        await asyncio.sleep(self.delay())
        return PredictResponse(request_id=request.request_id, prediction=RIGHT)

    async def stream(
        self, requests: AsyncIterator[StreamPredictRequest], context: Any
    ) -> AsyncIterator[StreamPredictResponse]:
        """Serves `StreamPredict`."""
        async for request in requests:
            self._saw(request, context)
            yield StreamPredictResponse(request_id=request.request_id, prediction=RIGHT)

    def _saw(self, request: PredictRequest | StreamPredictRequest, context: Any) -> None:
        self.windows.append(request.window.raw_float32)
        self.identities.add(dict(context.invocation_metadata())["x-tickserve-routing-key"])


@contextlib.asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    """Serves on a free port of the loopback."""
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Predict": grpc.unary_unary_rpc_method_handler(
            fake.predict, PredictRequest.FromString, PredictResponse.SerializeToString
        ),
        "StreamPredict": grpc.stream_stream_rpc_method_handler(
            fake.stream, StreamPredictRequest.FromString, StreamPredictResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tickserve.v1.PredictionService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def generate(tmp_path: Path, fake: Fake, traffic: Traffic, *, duration: float = 0.4) -> dict[str, Any]:
    """Runs one kind of traffic without warm-up and returns its figures."""
    path = tmp_path / "windows.npy"
    np.save(path, np.random.default_rng(0).standard_normal((3, 50, 60), dtype=np.float32))
    async with serving(fake) as target:
        plan = Plan(
            target=target,
            traffic=(traffic,),
            warm_up=0,
            duration=duration,
            windows=str(path),
            first_window=5,
            feature_schema="",
            model=MODEL,
        )
        result = await Generator(plan).run(time.monotonic() + 0.05)
    figures: dict[str, Any] = result["traffic"][traffic.name]
    return figures


def open_loop(**changes: Any) -> Traffic:
    """Returns an open loop of 100 requests a second."""
    values: dict[str, Any] = {"deadline": 0.1, "rpc_timeout": 2, "rate": 100} | changes
    return Traffic(name="probe", priority="real_time", **values)


async def test_a_stalled_server_does_not_slow_the_schedule(tmp_path: Path) -> None:
    """All requests are sent while nothing is answered, and each waits from its own instant: no omission."""
    fake = Fake()
    released_at: list[float] = []

    def until_release() -> float:
        if not released_at:  # by the first request, however long it took to connect
            released_at.append(time.monotonic() + 0.6)
        return max(0.0, released_at[0] - time.monotonic())

    fake.delay = until_release
    figures = await generate(tmp_path, fake, open_loop())
    assert figures["sent"] == 40
    assert figures["outcomes"] == {"late": 40}
    assert figures["latency_ms"]["max"] - min(figures["latencies_ms"]) > 250
    assert len(set(fake.windows)) == 40


async def test_withdrawn_requests_are_told_apart(tmp_path: Path) -> None:
    """A request that its client cancels ends as such, and is not held against the server."""
    fake = Fake()
    fake.delay = lambda: 1.0
    figures = await generate(tmp_path, fake, open_loop(cancel_share=1.0, cancel_after=0.02))
    assert figures["outcomes"] == {"cancelled": 40}
    assert (figures["sent"], figures["cancelled"], figures["goodput"]) == (0, 40, None)


async def test_an_unanswered_request_is_unanswered(tmp_path: Path) -> None:
    """The RPC's own limit ends it."""
    fake = Fake()
    fake.delay = lambda: 60.0
    figures = await generate(tmp_path, fake, open_loop(rate=20, rpc_timeout=0.15))
    assert figures["outcomes"] == {"unanswered": 8}


async def test_bursts_are_sent_at_once(tmp_path: Path) -> None:
    """A burst's requests share their instant."""
    figures = await generate(tmp_path, Fake(), open_loop(rate=0, burst_interval=0.2, burst_size=5, deadline=1))
    assert figures["outcomes"] == {"in_time": 10}


@pytest.mark.parametrize("streams", [0, 2])
async def test_a_closed_loop_keeps_its_callers_in_flight(tmp_path: Path, streams: int) -> None:
    """Unary or streamed, every answer is right, windows are distinct and callers have names of their own."""
    fake = Fake()
    traffic = Traffic(
        name="background",
        priority="background",
        deadline=1,
        rpc_timeout=2,
        callers=4,
        connections=2,
        streams=streams,
        think_time=0.01,
    )
    figures = await generate(tmp_path, fake, traffic)
    assert set(figures["outcomes"]) == {"in_time"}
    assert 4 < figures["sent"] <= 4 * 40 + 4
    assert len(set(fake.windows)) == len(fake.windows)
    assert len(fake.identities) == (streams or 4)


async def test_callers_of_a_vanished_server_wait_between_attempts(tmp_path: Path) -> None:
    """Nobody listens: what is sent stays bounded, and all of it is unanswered."""
    path = tmp_path / "windows.npy"
    np.save(path, np.zeros((1, 50, 60), dtype=np.float32))
    traffic = Traffic(name="x", priority="standard", deadline=1, rpc_timeout=1, callers=2)
    plan = Plan(
        target="127.0.0.1:1",
        traffic=(traffic,),
        warm_up=0,
        duration=0.3,
        windows=str(path),
        first_window=0,
        feature_schema="",
        model=MODEL,
    )
    figures = (await Generator(plan).run(time.monotonic()))["traffic"]["x"]
    assert set(figures["outcomes"]) == {"unanswered"}
    assert figures["sent"] <= 2 * 7

"""Ray Serve's fallback proxy, which takes calls while there is no replica and knows nothing of deadlines."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.conftest import Service
from tests.support import messages
from tests.support.raw_client import read_error


async def test_a_call_without_the_seam_runs_nothing(service: Service) -> None:
    """A call that reaches a replica past the seam is answered UNAVAILABLE / MODEL_LOADING with a retry delay."""
    async with grpc.aio.insecure_channel(service.fallback) as channel:
        predict: Any = channel.unary_unary("/tickserve.v1.PredictionService/Predict")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await predict(messages.predict().SerializeToString(), timeout=30)
    typed = read_error(refused.value)
    assert (typed.code, typed.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
    assert typed.retry_delay


async def test_health_of_the_fallback_is_not_serving(service: Service) -> None:
    """The fallback proxy never claims to serve."""
    async with grpc.aio.insecure_channel(service.fallback) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING

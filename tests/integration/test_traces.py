"""Traces of the running service, through HAProxy and Ray Serve to a real receiver, with Ray Serve's own switched on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from scripts.layering import ROOT
from tests.integration.conftest import Service, environment, serving
from tests.support import messages as m
from tests.support.otlp_receiver import OtlpReceiver, receiving
from tests.support.raw_client import call
from tests.support.traces import STAGES, attributes, child, orphans, timeline
from tickserve.v1.prediction_service_pb2 import PredictResponse

PREDICT = "tickserve.v1.PredictionService/Predict"
PARENT = "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"


@contextlib.asynccontextmanager
async def traced(registry: Path, receiver: OtlpReceiver) -> AsyncIterator[Service]:
    """Runs a service that traces what its callers trace, and Ray Serve's own tracing beside it."""
    endpoint = f"http://{receiver.target}"
    env = environment(
        registry,
        TICKSERVE_TRACING__ENABLED="true",
        TICKSERVE_TRACING__ENDPOINT=endpoint,
        TICKSERVE_TRACING__SAMPLE_RATIO="0",
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH="tests.support.ray_spans:to_collector",
        RAY_SERVE_TRACING_SAMPLING_RATIO="0",
        PYTHONPATH=str(ROOT),
    )
    manager = serving(env, registry)
    service = await asyncio.to_thread(manager.__enter__)
    try:
        yield service
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@pytest.mark.timeout(400)
async def test_a_trace_is_whole_whatever_ray_serve_does(registry: Path) -> None:
    """One tree below the caller's span, timeline rebuilt; a call that is not sampled makes no root of its own."""
    async with receiving() as receiver, traced(registry, receiver) as service:
        request = m.predict(options={"bypass_cache": True}).SerializeToString()
        async with grpc.aio.insecure_channel(service.target) as channel:
            await call(channel, "Predict", request, traceparent=f"00-{UNSAMPLED}-{PARENT}-00")
            response = await call(channel, "Predict", request, traceparent=f"00-{SAMPLED}-{PARENT}-01")
        assert isinstance(response, bytes), response
        await receiver.until(lambda: bool(receiver.named(PREDICT)))

        [server] = receiver.named(PREDICT)
        execution = PredictResponse.FromString(response).prediction.execution
        assert server.trace_id.hex() == execution.trace_id == SAMPLED
        assert server.parent_span_id.hex() == PARENT
        found = timeline(receiver.spans, server)
        assert list(found.stages) == list(STAGES)
        assert found.stages["inference"] > 0
        [batch] = receiver.named("batch")
        assert [link.span_id for link in batch.links] == [server.span_id]
        assert [link.span_id for link in child(receiver.spans, server, "inference").links] == [batch.span_id]

        rays = [span for span in receiver.spans if span.name.startswith("replica_handle_request")]
        assert [span.parent_span_id.hex() for span in rays] == [PARENT], "Ray Serve's own tracing is on in this test"
        assert orphans(receiver.spans, [PARENT]) == []
        assert [span.name for span in receiver.spans if not span.parent_span_id] == ["batch"]
        assert {span.trace_id.hex() for span in receiver.spans} == {SAMPLED, batch.trace_id.hex()}

        ours = next(group for group in receiver.groups if group.scope_spans[0].scope.name == "tickserve")
        resource = attributes(ours.resource)
        assert resource["service.instance.id"] == execution.replica_id
        assert resource["ray.node.id"]
        assert resource["deployment.environment.name"] == "test"

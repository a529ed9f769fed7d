"""A collector for tests: a real OTLP/gRPC receiver on a loopback port that keeps the spans it is sent.

async with receiving() as receiver:
    settings = TracingSettings(enabled=True, endpoint=f"http://{receiver.target}")
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_PATIENCE = 60.0


class OtlpReceiver:
    """What was received.

    Attributes:
        target: Where it listens.
        groups: What came, in order, each with the resource that sent it.
        metadata: Of the newest export.
        hold: Exports are answered while it is set.
    """

    def __init__(self) -> None:
        self.target = ""
        self.groups: list[ResourceSpans] = []
        self.metadata: dict[str, str] = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self._news = asyncio.Event()

    @property
    def spans(self) -> list[Span]:
        """All spans that came, in order."""
        return [span for group in self.groups for scope in group.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Span]:
        """Returns the spans of a name."""
        return [span for span in self.spans if span.name == name]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition on what came is met."""
        async with asyncio.timeout(_PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def export(
        self, request: ExportTraceServiceRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> ExportTraceServiceResponse:
        """Serves `TraceService/Export`."""
        await self.hold.wait()
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.groups.extend(request.resource_spans)
        self._news.set()
        return ExportTraceServiceResponse()


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[OtlpReceiver]:
    """Receives while the context is entered."""
    receiver = OtlpReceiver()
    handler = grpc.unary_unary_rpc_method_handler(
        receiver.export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
    receiver.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        await server.stop(grace=None)

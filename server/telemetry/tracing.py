"""Finished spans as OTLP messages, and the way to a collector. The one file that imports OpenTelemetry.

Spans are written as OTLP's own messages at once: a quarter of the cost of the SDK's span objects and their encoder
(docs/adr/0010-tracing.md). The SDK's exporter sends them and reads the standard `OTEL_EXPORTER_OTLP_*` variables.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from server.config.tracing_settings import TracingSettings
from server.telemetry.span import Span
from server.telemetry.wall_clock import wall_ns

logger = logging.getLogger("tickserve")

_EXPORTER_LOG = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
_DISTRIBUTION = "tickserve-server"

# Bits of OTLP's `flags`: sampled; whether the parent is remote is known; it is.
_SAMPLED = 0x01
_PARENT_KNOWN = int(trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
_PARENT_REMOTE = int(trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)


class OtlpSender(OTLPSpanExporter):
    """The SDK's exporter, with its connection, variables and retries, for spans that are OTLP messages already.

    Args:
        settings: Where to.
        replica_id: Whose spans they are.
        node_id: Where it runs, as Ray names it; empty without Ray.
    """

    def __init__(self, settings: TracingSettings, *, replica_id: str, node_id: str = "") -> None:
        super().__init__(
            endpoint=settings.endpoint or None,
            insecure=settings.insecure or None,
            headers=dict(settings.headers) or None,
            timeout=settings.export_timeout,
        )
        self._resource = resource_of(replica_id, node_id)
        self._log = _OneLine()
        _EXPORTER_LOG.addFilter(self._log)

    def send(self, spans: list[bytes]) -> bool:
        """Sends spans, again and again until the timeout; blocks."""
        # The SDK's type says its own spans; what they are only `_translate_data` knows.
        messages: Any = spans
        taken = self.export(messages) is SpanExportResult.SUCCESS
        if taken:
            self._log.rearm()
        return taken

    def shutdown(self, timeout_millis: float = 0.0, **kwargs: Any) -> None:
        """Cancels an export that is under way."""
        self._log.is_spent = True
        super().shutdown(timeout_millis, **kwargs)
        _EXPORTER_LOG.removeFilter(self._log)

    def _translate_data(self, data: Sequence[Any]) -> ExportTraceServiceRequest:
        """Packs spans; the SDK calls it for each attempt and would encode its own span objects here."""
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        write_attributes(group.resource.attributes, self._resource.attributes)
        scope = group.scope_spans.add()
        scope.scope.name = "tickserve"
        for span in data:
            scope.spans.add().MergeFromString(span)
        return request


class _OneLine(logging.Filter):
    """Lets one line pass for each time that the collector goes away: the exporter has two for every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.is_spent = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether the line is the first failure since the last success."""
        passes = not self.is_spent and record.levelno >= logging.ERROR
        self.is_spent = self.is_spent or passes
        return passes

    def rearm(self) -> None:
        """Notes that spans are taken."""
        if self.is_spent:
            logger.warning("the collector takes spans again")
        self.is_spent = False


def resource_of(replica_id: str, node_id: str) -> Resource:
    """Returns whose spans a replica's are; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win, but for its id."""
    attributes = {
        "service.name": "tickserve",
        "service.version": importlib.metadata.version(_DISTRIBUTION),
        "host.name": socket.gethostname(),
    }
    if node_id:
        attributes["ray.node.id"] = node_id
    own = Resource.create(attributes)
    # All replicas share one environment: an id from there would make them one.
    return own.merge(OTELResourceDetector().detect()).merge(Resource({"service.instance.id": replica_id}))


def to_otlp(span: Span, offset: int) -> bytes:
    """Returns a span as a serialised OTLP `Span`: as a message it would take several times the memory.

    Args:
        span: Monotonic times.
        offset: Nanoseconds from there to the epoch.
    """
    context = span.context
    flags = _SAMPLED | _PARENT_KNOWN
    if span.is_server and context.parent_span_id:
        flags |= _PARENT_REMOTE
    message = trace_pb2.Span(
        trace_id=bytes.fromhex(context.trace_id),
        span_id=bytes.fromhex(context.span_id),
        parent_span_id=bytes.fromhex(context.parent_span_id),
        name=span.name,
        kind=trace_pb2.Span.SPAN_KIND_SERVER if span.is_server else trace_pb2.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=wall_ns(span.started_at, offset),
        end_time_unix_nano=wall_ns(span.ended_at, offset),
        flags=flags,
    )
    write_attributes(message.attributes, span.attributes)
    for name, time in span.events:
        message.events.add(name=name, time_unix_nano=wall_ns(time, offset))
    for link in span.links:
        message.links.add(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            flags=(_SAMPLED if link.is_sampled else 0) | _PARENT_KNOWN,
        )
    if span.error:
        message.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        message.status.message = span.error
    return message.SerializeToString()


def write_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Adds attributes to a repeated `KeyValue`; what is no string, bool, int or float is written as text."""
    target.extend([_pair(key, value) for key, value in attributes.items()])


# Most attributes say the same in every span. Typed: True and 1 are equal.
@functools.lru_cache(maxsize=512, typed=True)
def _pair(key: str, value: object) -> KeyValue:
    if isinstance(value, bool):  # before int, which it is, too
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))

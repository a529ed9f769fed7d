"""What `RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH` names in tests: Ray Serve's own spans go where ours go."""

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


def to_collector() -> list[SpanProcessor]:
    """Returns processors that send to `OTEL_EXPORTER_OTLP_ENDPOINT` at once; Ray Serve calls it in each process."""
    return [SimpleSpanProcessor(OTLPSpanExporter())]

"""The spans of requests, RPCs and engine calls, made of their records when they have ended.

Owns names, intervals, attributes, and what counts as an error. Pure: knows no tracing library, no clock, no exporter.

A request's own span has the events `decoded`, `admitted`, `gathered`, `scattered` and `encoded`, and the children
`queue.wait` (from `admitted`) and `inference` (from `gathered` until the engine returned): between each two of those
lies one stage of `RequestRecord.stages`.
"""

from __future__ import annotations

import hashlib

from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.telemetry.span import AttributeValue, Span
from server.trace_context import TraceContext

_ITEM_NAMES = {
    RequestKind.UNARY: "predict",
    RequestKind.BATCH_ITEM: "predict.item",
    RequestKind.STREAM_ITEM: "stream.item",
    RequestKind.TICK: "tick.prediction",
}
# Callers choose these; a span is no place for a megabyte.
_MAX_TEXT = 128

# The status codes that are a server's errors: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
_ERROR_CODES = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
# And the reasons of ours that are not the caller's doing. RESOURCE_EXHAUSTED is not on the list above, for it may tell
# of a caller's quota; these tell that the service had no room, which is what somebody looks for at night.
_OVERLOAD = frozenset({Reason.QUEUE_FULL, Reason.PREDICTED_DEADLINE_MISS, Reason.DISPLACED})
_FAULTS = _OVERLOAD | {
    Reason.EXPIRED_IN_QUEUE,
    Reason.EXPIRED_IN_EXECUTION,
    Reason.DRAINING,
    Reason.MODEL_LOADING,
    Reason.STORE_UNAVAILABLE,
    Reason.HALT_STORE_UNAVAILABLE,
    Reason.DECISION_LOG_UNAVAILABLE,
    Reason.INFERENCE_FAILED,
}


class SpanTimeline:
    """Makes spans.

    Args:
        salt: Random bytes of this process, from which the ids of its batch spans are derived.
    """

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def request(self, record: RequestRecord, trace: TraceContext, *, symbols: bool) -> list[Span]:
        """Returns the spans of one request, its own first.

        Args:
            record: The request.
            trace: Its context.
            symbols: Whether the symbol is told.
        """
        events: list[tuple[str, float]] = []
        children = []
        stages = record.stages
        if stages is not None and record.batch is not None:
            decoded = record.received_at + stages.decode
            admitted = decoded + stages.admit
            chosen = admitted + stages.queue
            gathered = chosen + stages.gather
            computed = gathered + stages.inference
            scattered = computed + stages.scatter
            events += [("decoded", decoded), ("admitted", admitted), ("gathered", gathered)]
            events += [("scattered", scattered), ("encoded", record.ended_at)]
            children.append(Span("queue.wait", trace.child(), admitted, chosen, {}))
            children.append(
                Span(
                    name="inference",
                    context=trace.child(),
                    started_at=gathered,
                    ended_at=computed,
                    attributes=_batch_attributes(record.batch),
                    links=(self.batch_context(record.batch),),
                )
            )
        elif record.parsed_at is not None:
            events.append(("decoded", record.parsed_at))
        error = record.reason.name if record.reason in _FAULTS else ""
        attributes = _request_attributes(record, symbols=symbols)
        if error:
            attributes["error.type"] = error
        own = Span(
            name=_ITEM_NAMES[record.kind],
            context=trace,
            started_at=record.received_at,
            ended_at=record.ended_at,
            attributes=attributes,
            events=tuple(events),
            links=_stream_of(record, trace),
            error=error,
        )
        return [own, *children]

    def rpc(self, record: RpcRecord, trace: TraceContext, request: Span | None = None) -> Span:
        """Returns the span of one RPC.

        Args:
            record: The RPC.
            trace: Its context.
            request: The span of the one request that a unary call is about: the two become one.
        """
        route = record.call.route
        attributes: dict[str, AttributeValue] = {
            **({"http.route": route} if route else {"rpc.system.name": "grpc"}),
            "rpc.method": record.call.method.removeprefix("/"),
            "rpc.response.status_code": record.code,
        }
        if record.reason is not None:
            attributes["tickserve.reason"] = record.reason.name
        error = ""
        if record.code in _ERROR_CODES or record.reason in _OVERLOAD:
            attributes["error.type"] = record.code
            error = record.reason.name if record.reason is not None else record.code
        return Span(
            name=record.call.method.removeprefix("/"),
            context=trace,
            started_at=record.call.received_at,
            ended_at=record.ended_at,
            attributes=attributes if request is None else {**request.attributes, **attributes},
            is_server=True,
            events=() if request is None else request.events,
            error=error,
        )

    def batch(self, run: BatchRun, members: tuple[TraceContext, ...]) -> Span:
        """Returns the span of one engine call, in a trace of its own: it has as many parents as members.

        Args:
            run: The call.
            members: Contexts of the sampled requests that it answered.
        """
        info = run.model.engine.info
        attributes: dict[str, AttributeValue] = {
            **_batch_attributes(run),
            "tickserve.model.sha256": run.model.sha256,
            "tickserve.engine": info.name,
            "tickserve.engine.device": info.device,
            "tickserve.engine.precision": info.precision,
        }
        if run.is_probe:
            attributes["tickserve.probe"] = True
        if run.failed:
            attributes["error.type"] = Reason.INFERENCE_FAILED.name
        return Span(
            name="batch",
            context=self.batch_context(run),
            started_at=run.started_at,
            ended_at=run.ended_at,
            attributes=attributes,
            events=(("gathered", run.engine_started_at), ("computed", run.engine_ended_at)),
            links=members,
            error=Reason.INFERENCE_FAILED.name if run.failed else "",
        )

    def batch_context(self, run: BatchRun) -> TraceContext:
        """Returns the context of an engine call's span, always the same: its members' spans name it, made elsewhere."""
        digest = hashlib.blake2b(run.batch_id.to_bytes(8), key=self._salt, digest_size=24).hexdigest()
        return TraceContext(trace_id=digest[:32], span_id=digest[32:], is_sampled=True)


def _request_attributes(record: RequestRecord, *, symbols: bool) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"tickserve.outcome": record.outcome.value}
    if record.priority is not None:
        attributes["tickserve.class"] = record.priority.name.lower()
    if record.model is not None:
        attributes["tickserve.model.name"] = record.model.name
        attributes["tickserve.model.version"] = record.model.version
    if record.deadline is not None:
        attributes["tickserve.deadline.slack"] = record.deadline - record.ended_at
    if record.reason is not None:
        attributes["tickserve.reason"] = record.reason.name
    if record.outcome is Outcome.ANSWERED:
        attributes["tickserve.cached"] = record.is_cached
    if record.answer is not None:
        effective = record.answer.completion.effective_priority
        if effective is not record.priority:
            attributes["tickserve.effective_class"] = effective.name.lower()
    if record.request_id:
        attributes["tickserve.request_id"] = record.request_id[:_MAX_TEXT]
    if symbols and record.symbol:
        attributes["tickserve.symbol"] = record.symbol[:_MAX_TEXT]
    return attributes


def _batch_attributes(run: BatchRun) -> dict[str, AttributeValue]:
    return {
        "tickserve.batch.id": run.batch_id,
        "tickserve.batch.size": run.size,
        "tickserve.model.name": run.model.name,
        "tickserve.model.version": run.model.version,
        "tickserve.device.duration": run.device_duration,
    }


def _stream_of(record: RequestRecord, trace: TraceContext) -> tuple[TraceContext, ...]:
    """Returns the stream's context for an item that has a trace of its own; a child has its parent instead."""
    stream = record.call.trace
    if stream is None or stream.trace_id == trace.trace_id:
        return ()
    return (stream,)

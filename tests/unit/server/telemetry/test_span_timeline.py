"""Laws of the spans that records become: exact intervals, the right status and reason, and nobody's secrets."""

import dataclasses

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from batching import PriorityClass
from server.observation.request_record import RequestKind
from server.refusal import Reason
from server.telemetry.span import Span
from server.telemetry.span_timeline import SpanTimeline
from server.telemetry.tracing import to_otlp
from tests.support.ended_records import STAGES, START, STREAM, answered, batch_run, call, context, ended, rpc
from tests.support.traces import attributes, timeline

TIMELINE = SpanTimeline(b"salt")

CALLERS_DOING = {
    Reason.RATE_LIMITED,
    Reason.EDGE_REQUIRED,
    Reason.API_KEY_MISSING,
    Reason.API_KEY_INVALID,
    Reason.METHOD_NOT_ALLOWED,
    Reason.PRIORITY_NOT_ALLOWED,
    Reason.MISSING_INPUT,
    Reason.MALFORMED_MESSAGE,
    Reason.INVALID_SHAPE,
    Reason.INVALID_TENSOR,
    Reason.NOT_SUPPORTED,
    Reason.NON_FINITE_VALUE,
    Reason.FEATURE_SCHEMA_MISMATCH,
    Reason.INVALID_TIMEOUT,
    Reason.INVALID_PRIORITY,
    Reason.INVALID_TICK,
    Reason.INVALID_SYMBOL,
    Reason.TOO_MANY_WINDOWS,
    Reason.LIMIT_EXCEEDED,
    Reason.MODEL_NOT_FOUND,
    Reason.SYMBOL_NOT_FOUND,
    Reason.WINDOW_INCOMPLETE,
    Reason.WINDOW_STALE,
    Reason.STREAM_NOT_OPEN,
    Reason.STREAM_ALREADY_OPEN,
    Reason.SYMBOL_NOT_OPEN,
    Reason.REQUEST_ID_REUSED,
    Reason.HALTED,  # an operator's doing, and no fault of the service
}


def sent(span: Span) -> trace_pb2.Span:
    """Returns a span as a collector gets it."""
    return trace_pb2.Span.FromString(to_otlp(span, 0))


def test_an_executed_request_has_its_stages_and_nothing_else() -> None:
    """Its timeline, rebuilt from the spans alone, is the record's, to the nanosecond."""
    trace = context(parent="00f067aa0ba902b7")
    spans = [sent(span) for span in TIMELINE.request(answered(trace), trace, symbols=False)]
    assert [span.name for span in spans] == ["predict", "queue.wait", "inference"]
    found = timeline(spans, spans[0])
    assert list(found.stages.values()) == pytest.approx([seconds * 1e9 for seconds in STAGES], abs=200)
    assert found.remainder == 0
    assert {span.trace_id.hex() for span in spans} == {trace.trace_id}
    assert [span.parent_span_id.hex() for span in spans] == [trace.parent_span_id, trace.span_id, trace.span_id]
    assert len({span.span_id for span in spans}) == 3


def test_a_request_tells_what_an_operator_asks_for() -> None:
    """Class, model, version, slack, whether it was known; the class it was served in only where that is another."""
    trace = context()
    own = TIMELINE.request(answered(trace, request_id="r-1"), trace, symbols=False)[0]
    assert own.attributes == {
        "tickserve.outcome": "answered",
        "tickserve.class": "real_time",
        "tickserve.model.name": "cnn_lstm",
        "tickserve.model.version": 1,
        "tickserve.deadline.slack": pytest.approx(1.0 - sum(STAGES)),
        "tickserve.cached": False,
        "tickserve.request_id": "r-1",
    }
    served_in = TIMELINE.request(answered(trace, effective=PriorityClass.STANDARD), trace, symbols=False)[0]
    assert served_in.attributes["tickserve.effective_class"] == "standard"


def test_a_symbol_is_told_only_where_a_setting_says_so() -> None:
    """What somebody trades is nobody's business; texts that callers choose are cut."""
    trace = context()
    record = answered(trace, symbol="S" * 500, request_id="r" * 500)
    silent = TIMELINE.request(record, trace, symbols=False)[0].attributes
    assert not [value for value in silent.values() if isinstance(value, str) and "S" in value]
    told = TIMELINE.request(record, trace, symbols=True)[0].attributes
    assert told["tickserve.symbol"] == "S" * 128
    assert told["tickserve.request_id"] == "r" * 128


def test_no_span_holds_more_than_plain_values() -> None:
    """No tensor, and nothing that would keep a window alive."""
    trace = context()
    record = answered(trace, symbol="EURUSD")
    spans = [*TIMELINE.request(record, trace, symbols=True), TIMELINE.batch(batch_run(trace), (trace,))]
    for span in spans:
        assert {type(value) for value in span.attributes.values()} <= {str, bool, int, float}


def test_a_known_answer_has_neither_queue_nor_inference() -> None:
    """One span that says so."""
    trace = context()
    [own] = TIMELINE.request(answered(trace, cached=True), trace, symbols=False)
    assert own.attributes["tickserve.cached"] is True
    assert [name for name, _ in own.events] == ["decoded"]


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_is_an_error_unless_it_was_the_callers_doing(reason: Reason) -> None:
    """Each reason is one or the other, and is told either way."""
    trace = context()
    [own] = TIMELINE.request(ended(trace, reason=reason), trace, symbols=False)
    assert own.attributes["tickserve.reason"] == reason.name
    assert own.attributes["tickserve.outcome"] == "refused"
    assert own.attributes["tickserve.deadline.slack"] == pytest.approx(-0.25)
    assert (own.error == "") is (reason in CALLERS_DOING)
    assert own.attributes.get("error.type", "") == own.error


def test_a_request_that_is_given_up_is_no_error() -> None:
    """The caller changed its mind."""
    trace = context()
    [own] = TIMELINE.request(ended(trace, reason=None), trace, symbols=False)
    assert own.attributes["tickserve.outcome"] == "cancelled"
    assert own.error == ""


@pytest.mark.parametrize(
    ("code", "reason", "is_error"),
    [
        ("OK", None, False),
        ("CANCELLED", None, False),
        ("INVALID_ARGUMENT", Reason.INVALID_SHAPE, False),
        ("NOT_FOUND", Reason.MODEL_NOT_FOUND, False),
        ("RESOURCE_EXHAUSTED", Reason.QUEUE_FULL, True),
        ("RESOURCE_EXHAUSTED", None, False),
        ("DEADLINE_EXCEEDED", Reason.EXPIRED_IN_QUEUE, True),
        ("DEADLINE_EXCEEDED", None, True),
        ("UNAVAILABLE", Reason.DRAINING, True),
        ("INTERNAL", Reason.INFERENCE_FAILED, True),
    ],
)
def test_an_rpc_follows_the_conventions(code: str, reason: Reason | None, is_error: bool) -> None:
    """OpenTelemetry's names and its list of a server's errors; `error.type` is the code, the status says the reason."""
    trace = context(parent="00f067aa0ba902b7")
    message = sent(TIMELINE.rpc(rpc(call(trace), code=code, reason=reason), trace))
    told = attributes(message)
    assert message.name == "tickserve.v1.PredictionService/Predict"
    assert message.kind == message.SPAN_KIND_SERVER
    assert (told["rpc.system.name"], told["rpc.method"]) == ("grpc", "tickserve.v1.PredictionService/Predict")
    assert told["rpc.response.status_code"] == code
    assert told.get("tickserve.reason") == (reason.name if reason else None)
    assert (message.status.code == message.status.STATUS_CODE_ERROR) is is_error
    assert message.status.message == ((reason.name if reason else code) if is_error else "")
    assert told.get("error.type") == (code if is_error else None)


def test_a_call_over_http_says_by_which_route() -> None:
    """And is otherwise the RPC that it stands for."""
    trace = context()
    told = attributes(sent(TIMELINE.rpc(rpc(dataclasses.replace(call(trace), route="/v1/predict")), trace)))
    assert (told["http.route"], told["rpc.method"]) == ("/v1/predict", "tickserve.v1.PredictionService/Predict")
    assert "rpc.system.name" not in told


def test_a_unary_rpc_and_its_request_are_one_span() -> None:
    """It has the request's events and attributes, and the RPC's name, times and code."""
    trace = context()
    record = answered(trace)
    request, *children = TIMELINE.request(record, trace, symbols=False)
    whole = TIMELINE.rpc(rpc(record.call), trace, request)
    assert whole.context is request.context
    assert whole.events == request.events
    assert whole.attributes["tickserve.class"] == "real_time"
    assert (whole.started_at, whole.ended_at) == (START, START + 0.0285)
    spans = [sent(span) for span in (whole, *children)]
    assert timeline(spans, spans[0]).remainder == pytest.approx((0.0285 - sum(STAGES)) * 1e9, abs=200)


def test_a_batch_links_every_member_and_each_member_links_it() -> None:
    """In a trace of its own, for it has as many parents as members; the same context wherever it is named."""
    members = (context(), context(), context())
    run = batch_run(*members)
    span = TIMELINE.batch(run, members)
    assert span.links == members
    assert span.context.trace_id not in {member.trace_id for member in members}
    assert span.context.parent_span_id == ""
    assert (span.started_at, span.ended_at) == (run.started_at, run.ended_at)
    assert span.attributes["tickserve.batch.size"] == 3
    assert span.attributes["tickserve.engine"] == "fake"
    assert (span.attributes["tickserve.model.name"], span.attributes["tickserve.model.version"]) == ("cnn_lstm", 1)
    for member in members:
        _, _, inference = TIMELINE.request(answered(member, batch=run), member, symbols=False)
        assert inference.links == (span.context,)
        assert inference.attributes["tickserve.device.duration"] == run.device_duration
    assert TIMELINE.batch_context(batch_run(batch_id=8)) != span.context
    assert SpanTimeline(b"another process").batch_context(run) != span.context


def test_a_failed_engine_call_is_an_error() -> None:
    """Its span says what its members are told."""
    assert TIMELINE.batch(batch_run(), ()).error == ""
    assert TIMELINE.batch(batch_run(failed=True), ()).error == "INFERENCE_FAILED"


@pytest.mark.parametrize("kind", [RequestKind.STREAM_ITEM, RequestKind.TICK])
def test_an_item_of_a_stream_links_its_stream(kind: RequestKind) -> None:
    """It has a trace of its own: a stream lasts for hours, and no backend shows a trace of a million spans."""
    stream = call(context(), method=STREAM)
    item = context()
    own, *_ = TIMELINE.request(answered(item, within=stream, kind=kind), item, symbols=False)
    assert own.links == (stream.trace,)


def test_an_item_of_a_batch_is_a_child_of_its_rpc() -> None:
    """There are at most as many as a request may have; no link says what the parent says."""
    trace = context()
    item = trace.child()
    own, *_ = TIMELINE.request(answered(item, within=call(trace), kind=RequestKind.BATCH_ITEM), item, symbols=False)
    assert (own.name, own.links, own.context.parent_span_id) == ("predict.item", (), trace.span_id)

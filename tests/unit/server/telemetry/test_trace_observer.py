"""Laws of the observer that makes spans: sampled requests alone, each with its whole trace, by live settings."""

import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from server.config.tracing_settings import TracingSettings
from server.observation.request_record import RequestKind
from server.observation.sampler import Sampler
from server.telemetry.trace_observer import TraceObserver
from server.trace_context import TraceContext
from tests.support.ended_records import STREAM, answered, batch_run, call, context, rpc
from tests.support.traces import attributes, orphans

ON = TracingSettings(enabled=True)


class Collector:
    """Takes everything.

    Attributes:
        spans: What it got.
        settings: Those that it was made for, by connection.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.settings: list[TracingSettings] = []
        self.closed = threading.Semaphore(0)

    def connect(self, settings: TracingSettings) -> "Collector":
        """Makes the way here."""
        self.settings.append(settings)
        return self

    def send(self, spans: list[bytes]) -> bool:
        """See `SpanSender`."""
        self.spans += map(Span.FromString, spans)
        return True

    def shutdown(self) -> None:
        """See `SpanSender`."""
        self.closed.release()


@pytest.fixture
def collector() -> Collector:
    """Where spans go."""
    return Collector()


@pytest.fixture
def sampler() -> Sampler:
    """The seam's."""
    return Sampler()


@pytest.fixture
def observer(collector: Collector, sampler: Sampler) -> Iterator[TraceObserver]:
    """One that is on."""
    made = TraceObserver(replica_id="r", sampler=sampler, connect=collector.connect)
    made.apply(ON)
    yield made
    made.close()


def names(collector: Collector) -> list[str]:
    """Returns the names of what came."""
    return [span.name for span in collector.spans]


def test_a_unary_call_has_one_server_span_with_its_children(observer: TraceObserver, collector: Collector) -> None:
    """The request's attributes and the RPC's are on it; its parent is the caller's span; there is no other root."""
    trace = context(parent="00f067aa0ba902b7")
    record = answered(trace)
    assert record.batch is not None
    observer.batch_ended(record.batch)
    observer.request_ended(record)
    observer.rpc_ended(rpc(record.call))
    observer.close()
    assert names(collector) == ["batch", "tickserve.v1.PredictionService/Predict", "queue.wait", "inference"]
    batch, server, *_ = collector.spans
    assert server.span_id.hex() == trace.span_id
    assert attributes(server)["tickserve.class"] == "real_time"
    assert attributes(server)["rpc.response.status_code"] == "OK"
    assert [link.span_id for link in batch.links] == [server.span_id]
    assert orphans(collector.spans, [trace.parent_span_id]) == []
    assert [span.name for span in collector.spans if not span.parent_span_id] == ["batch"]
    assert (observer.exported_span_count, observer.dropped_span_count) == (4, 0)


@pytest.mark.parametrize("trace", [None, context(is_sampled=False)])
def test_what_is_not_sampled_makes_no_span(
    observer: TraceObserver, collector: Collector, trace: TraceContext | None
) -> None:
    """The caller's decision, or ours, is followed to the letter."""
    record = answered(trace, batch=batch_run())
    assert record.batch is not None
    observer.batch_ended(record.batch)
    observer.request_ended(record)
    observer.rpc_ended(rpc(record.call))
    observer.close()
    assert collector.spans == []


def test_a_call_without_a_request_has_a_span_too(observer: TraceObserver, collector: Collector) -> None:
    """`ListModels`, and a stream as a whole."""
    trace = context()
    observer.rpc_ended(rpc(call(trace, method="/tickserve.v1.ModelService/ListModels")))
    observer.rpc_ended(rpc(call(trace.child(), method=STREAM)))
    observer.close()
    assert names(collector) == ["tickserve.v1.ModelService/ListModels", "tickserve.v1.PredictionService/StreamPredict"]


def test_items_do_not_wait_for_their_stream(observer: TraceObserver, collector: Collector) -> None:
    """It may last for hours."""
    stream, item = call(context(), method=STREAM), context()
    observer.request_ended(answered(item, within=stream, kind=RequestKind.STREAM_ITEM))
    observer.close()
    assert names(collector) == ["stream.item", "queue.wait", "inference"]
    [link] = collector.spans[0].links
    assert stream.trace is not None
    assert (link.trace_id.hex(), link.span_id.hex()) == (stream.trace.trace_id, stream.trace.span_id)


def test_a_shared_execution_of_unsampled_requests_gets_its_span_once(
    observer: TraceObserver, collector: Collector
) -> None:
    """A sampled request that joined an unsampled one's execution finds a batch span behind its link; two find one."""
    run = batch_run()
    observer.batch_ended(run)
    for _ in range(2):
        trace = context()
        record = answered(trace, batch=run)
        observer.request_ended(record)
        observer.rpc_ended(rpc(record.call))
    observer.close()
    batches = [span for span in collector.spans if span.name == "batch"]
    linked = [span.links[0].span_id for span in collector.spans if span.name == "inference"]
    assert [batch.span_id for batch in batches] == [linked[0]]
    assert linked[0] == linked[1]


def test_requests_whose_rpc_never_ends_do_not_pile_up(observer: TraceObserver, collector: Collector) -> None:
    """Which cannot be; but a leak at the rate of the requests would be the end of the process."""
    traces = [context() for _ in range(1500)]
    for trace in traces:
        observer.request_ended(answered(trace))
    for trace in traces:
        observer.rpc_ended(rpc(call(trace)))
    observer.close()
    assert names(collector).count("queue.wait") == 1024
    assert names(collector).count("tickserve.v1.PredictionService/Predict") == 1500


def test_the_sampler_follows_the_settings(collector: Collector) -> None:
    """Off means that no call is sampled, whatever its caller says; the ratio is for calls that say nothing."""
    sampler = Sampler(ratio=1.0)
    observer = TraceObserver(replica_id="r", sampler=sampler, connect=collector.connect)
    assert not sampler.is_enabled
    observer.apply(TracingSettings(sample_ratio=0.5))
    assert not sampler.is_enabled
    observer.apply(TracingSettings(enabled=True, sample_ratio=0.25))
    assert (sampler.is_enabled, sampler.ratio) == (True, 0.25)
    observer.apply(TracingSettings(enabled=False))
    assert not sampler.is_enabled
    observer.apply(ON)
    observer.close()
    assert not sampler.is_enabled


def test_settings_change_without_a_loss(collector: Collector, sampler: Sampler) -> None:
    """Another collector is connected and the old one's spans are sent first; what concerns none leaves it alone."""
    observer = TraceObserver(replica_id="r", sampler=sampler, connect=collector.connect)
    observer.apply(ON)
    observer.rpc_ended(rpc(call(context())))
    observer.apply(ON.model_copy(update={"sample_ratio": 1.0, "symbols": True}))
    observer.apply(ON.model_copy(update={"endpoint": "http://elsewhere:4317"}))
    observer.rpc_ended(rpc(call(context())))
    observer.apply(TracingSettings())
    observer.rpc_ended(rpc(call(context())))
    for _ in range(2):
        assert collector.closed.acquire(timeout=60)
    observer.close()
    assert sorted(settings.endpoint for settings in collector.settings) == ["", "http://elsewhere:4317"]
    assert len(collector.spans) == 2
    assert observer.exported_span_count == 2


def test_a_symbol_is_told_where_the_setting_says_so(observer: TraceObserver, collector: Collector) -> None:
    """And nowhere else; the setting is live."""
    for symbols in (False, True):
        observer.apply(TracingSettings(enabled=True, symbols=symbols))
        record = answered(context(), symbol="EURUSD")
        observer.request_ended(record)
        observer.rpc_ended(rpc(record.call))
    observer.close()
    servers = [attributes(span) for span in collector.spans if span.name.endswith("/Predict")]
    assert [each.get("tickserve.symbol") for each in servers] == [None, "EURUSD"]

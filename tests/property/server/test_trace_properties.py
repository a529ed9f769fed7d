"""Laws of traces for any times and any mix of requests: spans tell the record's times, each is counted once."""

import threading

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from server.telemetry.span_queue import SpanCounts, SpanQueue
from server.telemetry.span_timeline import SpanTimeline
from server.telemetry.tracing import to_otlp
from tests.support.ended_records import answered, context
from tests.support.traces import STAGES, timeline

seconds = st.floats(min_value=0.0, max_value=100.0, allow_nan=False)
NANOSECOND = 1e-9
# Floats of about a thousand seconds, added up in two ways.
ROUNDING = 1000


@given(stages=st.tuples(*[seconds] * len(STAGES)))
def test_a_timeline_rebuilt_from_spans_is_the_records(stages: tuple[float, ...]) -> None:
    """Whatever the stages took, none at all included: they do not overlap, and nothing lies between them."""
    trace = context()
    record = answered(trace, stages=stages)
    assert record.stages is not None
    spans = [Span.FromString(to_otlp(span, 0)) for span in SpanTimeline(b"s").request(record, trace, symbols=False)]
    found = timeline(spans, spans[0])
    for name in STAGES:
        assert abs(found.stages[name] - getattr(record.stages, name) / NANOSECOND) <= ROUNDING
    assert found.remainder == 0
    whole = spans[0].end_time_unix_nano - spans[0].start_time_unix_nano
    assert sum(found.stages.values()) == whole
    assert abs(whole - record.duration / NANOSECOND) <= ROUNDING


class Flaky:
    """Takes, refuses or fails, as told."""

    def __init__(self, outcomes: list[bool | None]) -> None:
        self.sent: list[int] = []
        self._outcomes = iter(outcomes)

    def send(self, spans: list[int]) -> bool:
        """See `SpanSender`."""
        outcome = next(self._outcomes, True)
        if outcome is None:
            raise RuntimeError("broken")
        if outcome:
            self.sent += spans
        return outcome

    def shutdown(self) -> None:
        """See `SpanSender`."""


@given(
    groups=st.lists(st.integers(min_value=1, max_value=40), max_size=40),
    outcomes=st.lists(st.sampled_from([True, False, None]), max_size=10),
    size=st.integers(min_value=1, max_value=400),
    threads=st.integers(min_value=1, max_value=3),
)
def test_each_span_is_counted_once(groups: list[int], outcomes: list[bool | None], size: int, threads: int) -> None:
    """Exported or dropped, whoever offers and whatever the sender does; a group is kept whole or not at all."""
    sender, counts = Flaky(outcomes), SpanCounts()
    queue = SpanQueue(lambda: sender, size=size, counts=counts, interval=0.0001)

    def offer(lane: int) -> None:
        for number, count in enumerate(groups[lane::threads]):
            queue.offer([lane * 1000 + number] * count)

    workers = [threading.Thread(target=offer, args=(lane,)) for lane in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    queue.close(60.0)
    assert counts.exported + counts.dropped == sum(groups)
    assert counts.exported == len(sender.sent)
    if None not in outcomes and False not in outcomes:
        kept = {name: sender.sent.count(name) for name in sender.sent}
        offered = {
            lane * 1000 + number: count for lane in range(threads) for number, count in enumerate(groups[lane::threads])
        }
        assert all(offered[name] == count for name, count in kept.items())

"""The observer that makes spans: of what ended and is sampled, when everything about it is known.

Owns which records become spans, and the queue that they leave by. A request that is not sampled costs an `if`, for the
records are made anyway.
"""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable, Sequence

from server.config.tracing_settings import TracingSettings
from server.inference.batch_run import BatchRun
from server.observation.request_record import RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.observation.sampler import Sampler
from server.telemetry.span import Span
from server.telemetry.span_queue import SpanCounts, SpanQueue, SpanSender
from server.telemetry.span_timeline import SpanTimeline
from server.telemetry.tracing import OtlpSender, to_otlp
from server.telemetry.wall_clock import WallClock
from server.trace_context import TraceContext

_SHUTDOWN_TIMEOUT = 1.5
# Unary requests whose RPC has not ended yet: as many as end in one turn of the event loop.
_MAX_UNARY = 1024
# Engine calls that knew of no sampled member, but had one: it joined when the engine had just returned.
_MAX_SHARED = 256


class TraceObserver:
    """An observer that makes spans of what is sampled.

    Args:
        replica_id: Whose spans they are.
        node_id: Where it runs, as Ray names it; empty without Ray.
        sampler: Decides about calls without a caller's trace; kept to the settings.
        connect: Makes the way out for some settings; None is OTLP over gRPC.
        clock: Turns monotonic times into times of day.
    """

    def __init__(
        self,
        *,
        replica_id: str,
        sampler: Sampler,
        node_id: str = "",
        connect: Callable[[TracingSettings], SpanSender[bytes]] | None = None,
        clock: WallClock | None = None,
    ) -> None:
        self._sampler = sampler
        self._connect = connect or functools.partial(OtlpSender, replica_id=replica_id, node_id=node_id)
        self._clock = clock or WallClock()
        self._timeline = SpanTimeline(secrets.token_bytes(16))
        self._counts = SpanCounts()
        self._settings = TracingSettings()
        self._queue: SpanQueue[bytes] | None = None
        self._unary: dict[str, list[Span]] = {}
        self._shared: dict[int, None] = {}
        sampler.is_enabled = False

    @property
    def exported_span_count(self) -> int:
        """Spans that a collector has taken."""
        return self._counts.exported

    @property
    def dropped_span_count(self) -> int:
        """Spans that were lost: the queue was full, or no collector took them in time."""
        return self._counts.dropped

    def apply(self, settings: TracingSettings) -> None:
        """Puts settings in force, for what ends from now on."""
        before, self._settings = self._settings, settings
        self._sampler.ratio = settings.sample_ratio
        pipeline = settings.model_copy(update={"sample_ratio": before.sample_ratio, "symbols": before.symbols})
        if pipeline != before:
            self._switch(settings)
        self._sampler.is_enabled = self._queue is not None

    def request_ended(self, record: RequestRecord) -> None:
        """Makes the spans of a sampled request; those of a unary one wait for its RPC's end."""
        trace = record.trace
        if self._queue is None or trace is None or not trace.is_sampled:
            return
        spans = self._timeline.request(record, trace, symbols=self._settings.symbols)
        if record.batch is not None and not record.batch.members:
            self._shared_batch(record.batch, trace)
        if record.kind is RequestKind.UNARY:
            self._unary[trace.span_id] = spans
            if len(self._unary) > _MAX_UNARY:
                self._unary.pop(next(iter(self._unary)))
        else:
            self._emit(spans)

    def batch_ended(self, run: BatchRun) -> None:
        """Makes the span of an engine call with a sampled member. Engine thread."""
        if run.members and self._queue is not None:
            self._emit([self._timeline.batch(run, run.members)])

    def rpc_ended(self, record: RpcRecord) -> None:
        """Makes the span of a sampled RPC."""
        trace = record.call.trace
        if self._queue is None or trace is None or not trace.is_sampled:
            return
        request = self._unary.pop(trace.span_id, [])
        self._emit([self._timeline.rpc(record, trace, request[0] if request else None), *request[1:]])

    def close(self) -> None:
        """Sends what waits, for about two seconds at most, and stops. Blocks. Idempotent."""
        self._sampler.is_enabled = False
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.close(_SHUTDOWN_TIMEOUT)

    def _emit(self, spans: Sequence[Span]) -> None:
        queue = self._queue
        if queue is not None:
            offset = self._clock.offset()
            queue.offer([to_otlp(span, offset) for span in spans])

    def _shared_batch(self, run: BatchRun, member: TraceContext) -> None:
        """Makes the span of an engine call that knew of no sampled member: this one shared another's execution."""
        if run.batch_id not in self._shared:
            self._shared[run.batch_id] = None
            if len(self._shared) > _MAX_SHARED:
                self._shared.pop(next(iter(self._shared)))
            self._emit([self._timeline.batch(run, (member,))])

    def _switch(self, settings: TracingSettings) -> None:
        old, self._queue = self._queue, None
        if settings.enabled:
            connect = functools.partial(self._connect, settings)
            self._queue = SpanQueue(connect, size=settings.queue_size, counts=self._counts)
        if old is not None:
            # May wait for a collector that is gone, and this is the event loop.
            threading.Thread(target=old.close, args=(_SHUTDOWN_TIMEOUT,), name="span-close", daemon=True).start()

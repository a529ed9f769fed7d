"""Counts what has ended: requests, engine calls and RPCs. Owns what each counts as; knows no file and no library.

A request is counted by series that were looked up when the first of its kind came: one look-up, then additions.
"""

from __future__ import annotations

from collections.abc import Callable

from batching import PriorityClass
from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome, RequestKind, RequestRecord, Stages
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.telemetry import metric_catalogue as metrics
from server.telemetry.instruments import Instruments, Version
from server.telemetry.series import Counter, Histogram

# Whatever else a record may come to name: a label has only values that somebody has written down.
_METHODS = frozenset(
    {"Predict", "PredictBatch", "StreamPredict", "StreamTicks", "ListModels", "GetModel", "GetStatistics"}
    | {"Halt", "Resume", "ListHalts"}
    # Of the Open Inference Protocol.
    | {"ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"}
    | {"RepositoryIndex", "ModelInfer", "ModelStreamInfer"}
)
_OTHER = "other"
_STAGES = ("decode", "admit", "queue", "gather", "inference", "scatter", "encode")
_SHED = frozenset({Reason.QUEUE_FULL, Reason.PREDICTED_DEADLINE_MISS, Reason.DISPLACED})
# What became of a deadline, by the reason of a refusal. The others are the callers' own doing, and no deadline's end.
_ENDS = {
    Reason.EXPIRED_IN_QUEUE: "late_queue",
    Reason.EXPIRED_IN_EXECUTION: "late_execution",
    Reason.QUEUE_FULL: "refused",
    Reason.PREDICTED_DEADLINE_MISS: "refused",
    Reason.DRAINING: "refused",
    Reason.MODEL_LOADING: "refused",
    Reason.STORE_UNAVAILABLE: "refused",
    Reason.DISPLACED: "displaced",
    Reason.INFERENCE_FAILED: "failed",
}


class RequestMetrics:
    """An observer that counts.

    Args:
        instruments: Where it counts.
        code_of: Tells the name of the gRPC code that a reason has on the wire.
    """

    def __init__(self, instruments: Instruments, code_of: Callable[[Reason], str]) -> None:
        self._instruments = instruments
        self._code_of = code_of
        self._answered: dict[tuple[str, int, str, int], _Answered] = {}
        self._refused: dict[tuple[object, ...], list[Counter]] = {}
        self._engines: dict[tuple[str, int], _Engine] = {}
        self._rpcs: dict[tuple[str, str], Counter] = {}
        instruments.on_retired(self._forget)

    def prepare(self) -> None:
        """Makes the series that objectives are computed from, at zero: an increase begins with a value before it."""
        make = self._instruments
        for priority in (p.name.lower() for p in PriorityClass if p is not PriorityClass.SHADOW):
            make.counter(metrics.GOODPUT, priority)
            for end in ("in_time", "cancelled", *_ENDS.values()):
                make.counter(metrics.DEADLINE, priority, end)
            for reason in _SHED:
                make.counter(metrics.SHED, priority, reason.name)

    def request_ended(self, record: RequestRecord) -> None:
        """Counts one request, on the event loop."""
        model, priority = record.model, record.priority
        if record.outcome is Outcome.ANSWERED and model is not None and priority is not None:
            kind = (record.call.method, priority, model.name, model.version)
            answered = self._answered.get(kind)
            if answered is None:
                answered = self._answered[kind] = _Answered(self._instruments, record)
            answered.count(record)
            return
        key = None if model is None else model.key
        counters = self._refused.get((record.call.method, priority, record.outcome, record.reason, record.kind, key))
        if counters is None:
            counters = self._unanswered(record)
            self._refused[record.call.method, priority, record.outcome, record.reason, record.kind, key] = counters
        for counter in counters:
            counter.increment()

    def batch_ended(self, run: BatchRun) -> None:
        """Counts one engine call, in the engine's thread."""
        if run.is_probe:
            return
        # There may be two engine threads, and the event loop gives series up.
        with self._instruments.lock:
            engine = self._engines.get(run.model.key)
            if engine is None:
                engine = self._engines[run.model.key] = _Engine(self._instruments, run)
            engine.count(run)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Counts one RPC, on the event loop."""
        counter = self._rpcs.get((record.call.method, record.code))
        if counter is None:
            counter = self._instruments.counter(metrics.RPCS, _method(record.method), record.code)
            self._rpcs[record.call.method, record.code] = counter
        counter.increment()

    def _unanswered(self, record: RequestRecord) -> list[Counter]:
        """Returns what a request counts in that got no answer, or one that is known to be none of a loaded version."""
        priority, reason = _class(record), record.reason
        cancelled = record.outcome is Outcome.CANCELLED
        code = "CANCELLED" if cancelled else "OK" if reason is None else self._code_of(reason)
        name, version = _version(record) or ("", "")
        labels = (_method(record.method), priority, code, "" if reason is None else reason.name, name, version)
        counters = [self._instruments.counter(metrics.REQUESTS, *labels)]
        if cancelled:
            ended = "stream" if record.kind in (RequestKind.STREAM_ITEM, RequestKind.TICK) else "call"
            counters.append(self._instruments.counter(metrics.CANCELLED, priority, ended))
        if record.priority is not None:
            end = _ENDS.get(reason) if reason is not None else "cancelled" if cancelled else "in_time"
            if end == "in_time":
                counters.append(self._instruments.counter(metrics.GOODPUT, priority))
            if end is not None:
                counters.append(self._instruments.counter(metrics.DEADLINE, priority, end))
            if reason is not None and reason in _SHED:
                counters.append(self._instruments.counter(metrics.SHED, priority, reason.name))
        return counters

    def _forget(self, version: Version) -> None:
        """Forgets what was looked up for a version, whose series lie in a file that is no longer ours."""
        name, number = version[0], int(version[1])
        self._answered = {kind: series for kind, series in self._answered.items() if kind[2:] != (name, number)}
        self._refused = {kind: series for kind, series in self._refused.items() if kind[-1] != (name, number)}
        self._engines.pop((name, number), None)


class _Answered:
    """The series of answered requests of one method, class and version."""

    __slots__ = ("_deadline", "_duration", "_goodput", "_queue", "_requests", "_slack", "_stages")

    def __init__(self, instruments: Instruments, record: RequestRecord) -> None:
        method, priority, version = _method(record.method), _class(record), _version(record) or ("", "")
        self._requests = instruments.counter(metrics.REQUESTS, method, priority, "OK", "", *version)
        self._duration = instruments.histogram(metrics.REQUEST_DURATION, method, priority, *version)
        self._queue = instruments.histogram(metrics.QUEUE_DURATION, priority)
        self._deadline = instruments.counter(metrics.DEADLINE, priority, "in_time")
        self._goodput = instruments.counter(metrics.GOODPUT, priority)
        self._slack = instruments.histogram(metrics.DEADLINE_SLACK, priority)
        self._stages = tuple(instruments.histogram(metrics.STAGE_DURATION, stage) for stage in _STAGES)

    def count(self, record: RequestRecord) -> None:
        self._requests.increment()
        self._deadline.increment()
        self._goodput.increment()
        self._duration.observe(record.ended_at - record.received_at)
        if record.deadline is not None:
            self._slack.observe(record.deadline - record.ended_at)
        stages = record.stages
        if stages is not None:
            self._queue.observe(stages.queue)
            self._count_stages(stages)

    def _count_stages(self, stages: Stages) -> None:
        # Spelt out: this is done for every request.
        decode, admit, queue, gather, inference, scatter, encode = self._stages
        decode.observe(stages.decode)
        admit.observe(stages.admit)
        queue.observe(stages.queue)
        gather.observe(stages.gather)
        inference.observe(stages.inference)
        scatter.observe(stages.scatter)
        encode.observe(stages.encode)


class _Engine:
    """The series of one version's engine calls."""

    __slots__ = ("_batches", "_duration", "_failures", "_size")

    def __init__(self, instruments: Instruments, run: BatchRun) -> None:
        version = (run.model.name, str(run.model.version))
        self._duration: Histogram = instruments.histogram(metrics.INFERENCE_DURATION, *version)
        self._size = instruments.histogram(metrics.BATCH_SIZE, *version)
        self._batches = instruments.counter(metrics.BATCHES, *version)
        self._failures = instruments.counter(metrics.BATCH_FAILURES, *version)

    def count(self, run: BatchRun) -> None:
        self._batches.increment()
        if run.failed:
            self._failures.increment()
            return
        self._duration.observe(run.device_duration)
        self._size.observe(run.size)


def _method(name: str) -> str:
    return name if name in _METHODS else _OTHER


def _class(record: RequestRecord) -> str:
    return "" if record.priority is None else record.priority.name.lower()


def _version(record: RequestRecord) -> Version | None:
    return None if record.model is None else (record.model.name, str(record.model.version))

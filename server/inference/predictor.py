"""Answers one window: through the scheduler to an engine and back, with the evidence of how it was done.

Owns the domain form of a prediction request and of its answer. Knows nothing of protobuf, gRPC or Ray.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from batching import Batcher, Completion, ExpiredInExecutionError, ExpiredInQueueError, PriorityClass, Request
from model.outputs import OutputRow
from server.inference.batch_run import BatchRun
from server.inference.computed_row import ComputedRow
from server.inference.shared_traces import SharedTraces
from server.models.served_model import ServedModel
from server.results.known_results import KnownResults
from server.results.result_cache import ResultKey
from server.trace_context import TraceContext

FloatArray = npt.NDArray[np.float32]


class InvalidOutputError(RuntimeError):
    """The engine's answer to one window is not finite or not normalised."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InputOrigin:
    """Where a window came from, echoed in the answer.

    Attributes:
        feature_schema: Schema that the caller named; empty if not checked.
        symbol: Symbol whose window the server keeps; empty if the caller sent the window.
        last_sequence: Sequence number of the symbol's newest tick; 0 without symbol.
        as_of_time: End of the newest bar, seconds since the epoch (UTC), or None.
    """

    feature_schema: str = ""
    symbol: str = ""
    last_sequence: int = 0
    as_of_time: float | None = None


class LateInput(Protocol):
    """An input that is decided at the moment the batch is formed; until then its attributes say what it would be."""

    @property
    def window(self) -> FloatArray:
        """`[features, steps]` float32."""
        ...

    @property
    def origin(self) -> InputOrigin:
        """Where the window came from."""
        ...

    @property
    def received_at(self) -> float:
        """When it was received, monotonic seconds."""
        ...

    @property
    def deadline(self) -> float:
        """Until when the answer is of use, monotonic seconds."""
        ...

    def bind(self) -> FloatArray:
        """Decides: from now on nothing of it changes. Returns the window; called again, the same one."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the engine thread gets for one request: a `[features, steps]` float32 window, and who computes it.

    Attributes:
        window: The window; where it is `late`, what it would be at the time of asking.
        model: Who computes it.
        late: Decides the window when the batch is formed; None where it is settled.
        trace: Of the request, where its spans are recorded; None elsewhere.
        is_probe: Whether it is the deep health check's, which counts in no figure.
        share_key: What others may have joined it by, together with the model; None where nobody can.
    """

    window: FloatArray
    model: ServedModel
    late: LateInput | None = None
    trace: TraceContext | None = None
    is_probe: bool = False
    share_key: str | None = None

    def bound(self) -> Work:
        """Returns the work with its window settled. Event loop only."""
        return self if self.late is None else dataclasses.replace(self, window=self.late.bind(), late=None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PredictionTask:
    """One validated request.

    Attributes:
        work: Window and model.
        origin: Where the window came from.
        priority: Class.
        deadline: Monotonic seconds.
        received_at: Monotonic seconds.
        caller: Identity for fairness between callers.
        trace_id: Of the call; empty if not traced.
        shareable: Whether one execution may answer this and identical requests that wait or run beside it.
        cacheable: Whether a known answer will do, and this one's may be kept.
        key_id: Who asks, beyond doubt; empty where nobody is authenticated. Halts go by it.
    """

    work: Work
    origin: InputOrigin
    priority: PriorityClass
    deadline: float
    received_at: float
    caller: str
    trace_id: str
    shareable: bool
    cacheable: bool = False
    key_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A prediction and how it came about; durations in seconds. One that was `cached` had neither queue nor `batch`."""

    task: PredictionTask
    completion: Completion[Any]  # its times: what they led to stands in `row` and `batch`
    row: OutputRow
    input_sha256: str
    out_of_distribution: bool
    total_duration: float
    deadline_slack: float
    replica_id: str
    cached: bool = False
    batch: BatchRun | None = None


class Predictor:
    """Sends tasks through the scheduler.

    Args:
        batcher: The replica's scheduler; its engine function is a `batch_runner.BatchRunner`.
        replica_id: Identifies this replica in answers.
        known: Answers that need not be computed; None where every one is.
        shared_traces: Told of sampled requests that may share an execution; the batch runner's.
        on_invalid: Called with a version whose answer was not finite or not normalised.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        batcher: Batcher[Work, ComputedRow],
        *,
        replica_id: str,
        known: KnownResults | None = None,
        shared_traces: SharedTraces | None = None,
        on_invalid: Callable[[ServedModel], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batcher = batcher
        self._replica_id = replica_id
        self._known = known
        self._shared_traces = shared_traces or SharedTraces()
        self._on_invalid = on_invalid
        self._clock = clock

    def now(self) -> float:
        """Returns the monotonic clock that deadlines are measured on."""
        return self._clock()

    async def predict(self, task: PredictionTask) -> Answer:
        """Answers one task before its deadline.

        Raises:
            batching.SchedulerError: Refused, expired, failed or shut down; expired, too, if the answer is there after
                the deadline.
            InvalidOutputError: The engine gave no usable answer for this window.
        """
        if task.work.late is not None:
            return await self._predict_late(task, task.work.late)
        work = task.work
        digest = _digest(work.window)
        known = self._known if task.cacheable else None
        key = _execution(work, digest)
        row = None
        if known is not None:
            row = await known.find(key, network=work.model.config.network, deadline=task.deadline)
        if row is not None:
            return self._answer(task, _without_execution(task, row), row, digest)
        completion, row = await self._execute(task, share_key=digest if task.shareable else None)
        if known is not None:
            known.keep(key, row)  # even if it is too late for this one: whoever asks again need not wait again
        return self._answer(task, completion, row, digest, batch=completion.result.batch)

    async def _predict_late(self, task: PredictionTask, late: LateInput) -> Answer:
        """Answers a task whose input is decided when its batch is formed: it is neither known nor shared before."""
        completion, row = await self._execute(task, share_key=None)
        window = late.bind()
        task = dataclasses.replace(
            task,
            work=dataclasses.replace(task.work, window=window, late=None),
            origin=late.origin,
            received_at=late.received_at,
            deadline=late.deadline,
        )
        return self._answer(task, completion, row, _digest(window), batch=completion.result.batch)

    async def _execute(
        self, task: PredictionTask, *, share_key: str | None
    ) -> tuple[Completion[ComputedRow], OutputRow]:
        work, model = task.work, task.work.model
        request = Request(
            priority=task.priority,
            deadline=task.deadline,
            batch_key=model.sha256,
            caller=task.caller,
            payload=work if share_key is None else dataclasses.replace(work, share_key=share_key),
            share_key=share_key,
        )
        if share_key is None or work.trace is None:
            completion = await self._batcher.submit(request)
        else:
            with self._shared_traces.waiting((model.sha256, share_key), work.trace):
                completion = await self._batcher.submit(request)
        row = completion.result.row
        if row is None:
            self._on_invalid(model)
            raise InvalidOutputError(f"model {model.name} version {model.version} gave an invalid answer")
        return completion, row

    def _answer(
        self,
        task: PredictionTask,
        completion: Completion[Any],
        row: OutputRow,
        digest: str,
        *,
        batch: BatchRun | None = None,
    ) -> Answer:
        unusual = task.work.model.is_out_of_distribution(task.work.window)
        now = self._clock()
        if now >= task.deadline:
            # The engine, or the cache, was in time and the event loop was not: an answer is in time or it is none.
            error = ExpiredInQueueError if batch is None else ExpiredInExecutionError
            raise error(now - task.received_at)
        return Answer(
            task=task,
            completion=completion,
            row=row,
            input_sha256=digest,
            out_of_distribution=unusual,
            total_duration=now - task.received_at,
            deadline_slack=task.deadline - now,
            replica_id=self._replica_id,
            cached=batch is None,
            batch=batch,
        )


def _digest(window: FloatArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(window).data).hexdigest()


def _execution(work: Work, digest: str) -> ResultKey:
    info = work.model.engine.info
    return ResultKey(digest, work.window.shape, work.model.sha256, info.name, info.precision)


def _without_execution(task: PredictionTask, row: OutputRow) -> Completion[OutputRow]:
    """Returns what stands for the execution of an answer that was known."""
    return Completion(
        result=row,
        queue_duration=0.0,
        inference_duration=0.0,
        batch_size=0,
        effective_priority=task.priority,
        enqueued_at=task.received_at,
        chosen_at=task.received_at,
        completed_at=task.received_at,
    )

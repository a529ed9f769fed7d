"""Runs one batch on its engine: gathers the windows into one buffer, computes, and parts the answer again.

Owns the buffers, and the times of each engine call. Runs in the scheduler's engine threads; knows nothing of queues or
RPCs, nor of who is told of the calls.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from server.inference.batch_run import BatchRun
from server.inference.computed_row import ComputedRow
from server.inference.predictor import Work
from server.inference.shared_traces import SharedTraces
from server.trace_context import TraceContext

FloatArray = npt.NDArray[np.float32]


class WindowBuffers:
    """Buffers that batches are gathered in, each used by one engine call at a time.

    A buffer goes back only when its call has returned: the engine reads it where it lies, and one that hangs may still
    do so. There are never more than calls at once.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[FloatArray]] = {}
        self._lock = threading.Lock()

    def take(self, count: int, shape: tuple[int, ...]) -> FloatArray:
        """Returns a buffer of at least `count` windows of `shape`, float32, C-contiguous, with anything in it."""
        with self._lock:
            free = self._free.setdefault(shape, [])
            buffer = free.pop() if free else None
        if buffer is None or len(buffer) < count:
            # Powers of two: a queue that grows slowly must not mean a new buffer for each batch.
            buffer = np.empty((1 << (count - 1).bit_length(), *shape), dtype=np.float32)
        return buffer

    def give_back(self, buffer: FloatArray) -> None:
        """Takes back a buffer that nobody reads any more."""
        with self._lock:
            self._free[buffer.shape[1:]].append(buffer)


class BatchRunner:
    """Computes batches; any number of threads.

    Args:
        on_run: Told of every engine call, failed ones included, in the thread that made it; must not raise or block.
        shared_traces: Knows the sampled requests that have joined the work of another; the predictor's.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        on_run: Callable[[BatchRun], None] = lambda _: None,
        *,
        shared_traces: SharedTraces | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_run = on_run
        self._shared_traces = shared_traces or SharedTraces()
        self._clock = clock
        self._buffers = WindowBuffers()
        self._ids = itertools.count(1)

    def __call__(self, batch_key: str, batch: Sequence[Work]) -> list[ComputedRow]:
        """Computes one batch. All members name the same model, so the first one's engine serves all.

        Each window is copied once, from the bytes of its message into the buffer that the engine reads.

        Args:
            batch_key: The model's sha256; the scheduler's promise that the batch is of one model.
            batch: At least one piece of work.

        Returns:
            One for each, in order; without a row where the answer is not finite or not normalised.
        """
        del batch_key
        started = self._clock()
        buffer = self._buffers.take(len(batch), batch[0].window.shape)
        _gather([work.window for work in batch], buffer)
        engine = batch[0].model.engine
        called = self._clock()
        try:
            outputs = engine.run(buffer[: len(batch)])
            returned = self._clock()
            # Not in a `finally`: after an engine's failure it is unknown whether it still reads the buffer.
            self._buffers.give_back(buffer)
            valid = outputs.valid_rows().tolist()
            rows = [outputs.row(index) if valid[index] else None for index in range(len(batch))]
        except BaseException:
            ended = self._clock()
            self._on_run(self._run(batch, (started, called, ended, ended), ended - called, failed=True))
            raise
        # An engine that reads the device's own clock has kept what it said of this call.
        device: float = getattr(engine, "device_seconds", returned - called)
        run = self._run(batch, (started, called, returned, self._clock()), device)
        self._on_run(run)
        return [ComputedRow(row, run) for row in rows]

    def _run(
        self, batch: Sequence[Work], times: tuple[float, float, float, float], device: float, *, failed: bool = False
    ) -> BatchRun:
        started, called, returned, ended = times
        return BatchRun(
            batch_id=next(self._ids),
            model=batch[0].model,
            size=len(batch),
            started_at=started,
            engine_started_at=called,
            engine_ended_at=returned,
            ended_at=ended,
            device_duration=device,
            members=tuple(trace for work in batch for trace in self._members(work)),
            failed=failed,
            is_probe=all(work.is_probe for work in batch),
        )

    def _members(self, work: Work) -> tuple[TraceContext, ...]:
        """Returns the traces that a piece of work is a part of, in as far as they are recorded."""
        joined = () if work.share_key is None else self._shared_traces.of((work.model.sha256, work.share_key))
        if work.trace is None or work.trace in joined:
            return joined
        return (work.trace, *joined)


def _gather(windows: Sequence[FloatArray], buffer: FloatArray) -> None:
    """Copies windows to the head of a buffer, as bytes: numpy would release the interpreter's lock for each of them.

    Beside a busy event loop it comes back only milliseconds later, a batch would wait for it several times before the
    engine has it, and the loop pays for every hand-over.
    """
    size = windows[0].nbytes
    target = buffer.data.cast("B")
    for index, window in enumerate(windows):
        target[index * size : (index + 1) * size] = np.ascontiguousarray(window).data.cast("B")

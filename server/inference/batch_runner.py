"""Runs one batch on its engine: gathers the windows into one buffer, computes, and parts the answer again.

Owns the buffers. Runs in the scheduler's engine threads; knows nothing of queues or RPCs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.outputs import OutputRow
from server.inference.predictor import Work

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
    """Computes batches; any number of threads."""

    def __init__(self) -> None:
        self._buffers = WindowBuffers()

    def __call__(self, batch_key: str, batch: Sequence[Work]) -> list[OutputRow | None]:
        """Computes one batch. All members name the same model, so the first one's engine serves all.

        Each window is copied once, from the bytes of its message into the buffer that the engine reads.

        Args:
            batch_key: The model's sha256; the scheduler's promise that the batch is of one model.
            batch: At least one piece of work.

        Returns:
            One row for each, in order; None where the answer is not finite or not normalised.
        """
        del batch_key
        buffer = self._buffers.take(len(batch), batch[0].window.shape)
        for index, work in enumerate(batch):
            buffer[index] = work.window
        outputs = batch[0].model.engine.run(buffer[: len(batch)])
        # Not in a `finally`: after an engine's failure it is unknown whether it still reads the buffer.
        self._buffers.give_back(buffer)
        valid = outputs.valid_rows().tolist()
        return [outputs.row(index) if valid[index] else None for index in range(len(batch))]

"""The model as peers run it: the TorchScript file, from a request's bytes to tickserve's answer.

A peer does less for an answer than tickserve does: no hash of the input, no check of it, no scheduling evidence but the
batch.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.peers.answer import Windows, prediction_of
from tickserve.v1 import prediction_pb2
from tickserve.v1.window_pb2 import Window

_WARM_UP_SIZES = (1, 2, 4, 8, 16, 32, 64)


class ScriptedModel:
    """A frozen network in a peer's process.

    Args:
        script: TorchScript file.
        model: Name, version and hash that answers carry.
        threads: Of one engine call.
        shape: Features and steps of a window.
    """

    def __init__(self, script: str, *, model: tuple[str, int, str], threads: int, shape: tuple[int, int]) -> None:
        self._threads = threads
        name, version, sha256 = model
        self._version = prediction_pb2.ModelVersion(name=name, version=version, sha256=sha256)
        self._module: Any = torch.jit.load(script)  # type: ignore[no-untyped-call]  # torch's
        for size in _WARM_UP_SIZES:
            for _ in range(2):  # TorchScript profiles its first run and optimises its second
                self._compute(np.zeros((size, *shape), dtype=np.float32))

    def predict(self, windows: list[Windows]) -> list[prediction_pb2.Prediction]:
        """Returns the answers of one batch; windows are float32 [features, steps]."""
        began = time.monotonic_ns()
        outputs = self._compute(np.stack(windows))
        taken = time.monotonic_ns() - began
        return [
            self._answer([output[index] for output in outputs], len(windows), taken) for index in range(len(windows))
        ]

    def _compute(self, windows: Windows) -> list[Windows]:
        if torch.get_num_threads() != self._threads:  # kept per calling thread
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            return [output.numpy() for output in self._module(torch.from_numpy(windows))]

    def _answer(self, row: list[Windows], size: int, taken_ns: int) -> prediction_pb2.Prediction:
        prediction = prediction_of(row, self._version)
        prediction.execution.batch_size = size
        prediction.execution.inference_duration.FromNanoseconds(taken_ns)
        return prediction


def window_of(window: Window) -> Windows:
    """Returns a request's window, float32 [features, steps], without a copy."""
    return np.frombuffer(window.raw_float32, dtype="<f4").reshape(window.feature_count, window.time_steps)

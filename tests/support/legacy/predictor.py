"""What the old deployments compute: one eager call of the network for a batch, results as plain lists.

The model is a version of tickserve's registry, so that the two services' answers to one window can be compared.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from model.network import InferenceNetwork
from model.registry import Registry

Window = npt.NDArray[np.float32]
_DIMENSIONS = 3


class OldPredictor:
    """`CNNLSTMPredictor` and `EnhancedCNNLSTMPredictor`, as far as callers can tell them apart from outside.

    Args:
        registry: Folder of the registry.
        name: Of the model; its latest version is loaded.
        threads: Of one call; None: as the process has it.
    """

    def __init__(self, registry: str, name: str = "cnn_lstm", *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = InferenceNetwork(Registry(Path(registry)).load(name).network)
        self._request_count = 0
        self._milliseconds = 0.0
        self.batch([np.zeros((50, 60), dtype=np.float32)])

    def batch(self, windows: list[Window]) -> list[dict[str, Any]]:
        """Returns a result for each window, [features][steps] or [1][features][steps]."""
        began = time.perf_counter()
        stacked = torch.from_numpy(np.stack([_one(window) for window in windows]))
        with torch.inference_mode():
            rows = [output.numpy() for output in self._network(stacked)]
        taken = (time.perf_counter() - began) * 1e3
        self._request_count += len(windows)
        self._milliseconds += taken
        probabilities, mean, deviation, weights = rows[0], rows[1], rows[2], rows[6]
        return [
            {
                "classification_probs": probabilities[index].tolist(),
                "regression_pred": mean[index].tolist(),
                "regression_uncertainty": deviation[index].tolist(),
                "ensemble_weights": weights[index].tolist(),
                "processing_time_ms": taken / len(windows),
                "batch_size": len(windows),
            }
            for index in range(len(windows))
        ]

    def stats(self) -> dict[str, Any]:
        """Returns what the first document's `get_stats` did."""
        count = self._request_count
        return {
            "request_count": count,
            "avg_processing_time_ms": self._milliseconds / count if count else 0,
            "device": "cpu",
        }


def _one(window: Window) -> Window:
    found = window[0] if window.ndim == _DIMENSIONS and len(window) == 1 else window
    if found.ndim != _DIMENSIONS - 1:
        raise ValueError(f"Expected 3D input array, got {window.ndim}D")
    return found

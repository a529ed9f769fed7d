"""The deployment that a user of stock Ray Serve would write after its documentation: `@serve.batch` around the model.

It reads and writes tickserve's messages, so that both servers parse and write the same bytes; and does less for an
answer than tickserve does: no hash of the input, no check of it, no scheduling evidence but the batch.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ray import serve

from tickserve.v1 import prediction_pb2
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse

_MAX_BATCH_SIZE = 64
_BATCH_WAIT = 0.01
_WARM_UP_SIZES = (1, 2, 4, 8, 16, 32, 64)
_LABELS = ("sell", "hold", "buy")
_REGRESSIONS = ("return", "volatility")


class StockPredictor:
    """One replica.

    Args:
        script: TorchScript file.
        model: Name, version and hash that answers carry.
        threads: Of one engine call.
    """

    def __init__(self, *, script: str, model: tuple[str, int, str], threads: int) -> None:
        self._threads = threads
        name, version, sha256 = model
        self._version = prediction_pb2.ModelVersion(name=name, version=version, sha256=sha256)
        self._module: Any = torch.jit.load(script)  # type: ignore[no-untyped-call]  # torch's
        for size in _WARM_UP_SIZES:
            for _ in range(2):  # TorchScript profiles its first run and optimises its second
                self._compute(np.zeros((size, 50, 60), dtype=np.float32))

    async def Predict(self, request: PredictRequest) -> PredictResponse:  # noqa: N802 - the contract's name
        """Serves `PredictionService/Predict`."""
        window = request.window
        values = np.frombuffer(window.raw_float32, dtype="<f4").reshape(window.feature_count, window.time_steps)
        prediction: prediction_pb2.Prediction = await self._predict(values)
        return PredictResponse(request_id=request.request_id, prediction=prediction)

    @serve.batch(max_batch_size=_MAX_BATCH_SIZE, batch_wait_timeout_s=_BATCH_WAIT)  # type: ignore[untyped-decorator]  # ray's
    async def _predict(self, windows: list[npt.NDArray[np.float32]]) -> list[prediction_pb2.Prediction]:
        began = time.monotonic_ns()
        outputs = self._compute(np.stack(windows))
        taken = time.monotonic_ns() - began
        return [
            self._answer([output[index] for output in outputs], len(windows), taken) for index in range(len(windows))
        ]

    def _compute(self, windows: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        if torch.get_num_threads() != self._threads:  # kept per calling thread
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            return [output.numpy() for output in self._module(torch.from_numpy(windows))]

    def _answer(self, row: list[npt.NDArray[np.float32]], size: int, taken_ns: int) -> prediction_pb2.Prediction:
        prediction = prediction_pb2.Prediction(
            classes=_classes(row[0]),
            regressions=_regressions(row[1], row[2]),
            ensemble=prediction_pb2.Ensemble(
                classes=_classes(row[3]), regressions=_regressions(row[4], row[5]), weights=row[6].tolist()
            ),
            model=self._version,
            execution=prediction_pb2.Execution(batch_size=size),
        )
        prediction.execution.inference_duration.FromNanoseconds(taken_ns)
        return prediction


def _classes(probabilities: npt.NDArray[np.float32]) -> list[prediction_pb2.ClassProbability]:
    return [
        prediction_pb2.ClassProbability(label=label, probability=probability)
        for label, probability in zip(_LABELS, probabilities.tolist(), strict=True)
    ]


def _regressions(
    means: npt.NDArray[np.float32], deviations: npt.NDArray[np.float32]
) -> list[prediction_pb2.Regression]:
    return [
        prediction_pb2.Regression(name=name, mean=mean, standard_deviation=deviation)
        for name, mean, deviation in zip(_REGRESSIONS, means.tolist(), deviations.tolist(), strict=True)
    ]

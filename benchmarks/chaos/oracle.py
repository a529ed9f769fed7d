"""Whether answers are right: each against the eager fp32 network's to the same window, computed anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.chaos.record import End, Record
from benchmarks.chaos.windows import Window, Windows, digest
from model.engine import Precision
from model.network import HybridNetwork
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.parity import TOLERANCES, compare, eager_outputs
from tickserve import Prediction

_CHUNK = 1024
# Order and width of a record's values. The fused features are not asked for: nothing is computed after them alone.
_PARTS: Final = {
    "class_probabilities": 3,
    "regression_mean": 2,
    "regression_standard_deviation": 2,
    "ensemble_class_probabilities": 3,
    "ensemble_regression_mean": 2,
    "ensemble_regression_standard_deviation": 2,
    "ensemble_weights": 5,
}
WIDTH: Final = sum(_PARTS.values())


def values_of(prediction: Prediction) -> tuple[float, ...]:
    """Returns an answer's figures in the order of the outputs' names; fewer than `WIDTH` where it lacks some."""
    values = [*prediction.classes.values()]
    values += [one.mean for one in prediction.regressions.values()]
    values += [one.standard_deviation for one in prediction.regressions.values()]
    if (ensemble := prediction.ensemble) is not None:
        values += [*ensemble.classes.values()]
        values += [one.mean for one in ensemble.regressions.values()]
        values += [one.standard_deviation for one in ensemble.regressions.values()]
        values += ensemble.weights
    return tuple(values)


class Oracle:
    """Knows the right answers.

    Args:
        network: The version's that every answer must come from.
        windows: Makes what was asked about.
        precision: The engine's; its tolerance is what the quality gate allows.
    """

    def __init__(self, network: HybridNetwork, windows: Windows, *, precision: Precision = "fp32") -> None:
        self._network = network
        self._windows = windows
        self._tolerance = TOLERANCES[precision]

    def wrong(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Returns the answered records whose answers are wrong, and in what; refusals and silence are neither."""
        answered = [record for record in records if record.end is End.ANSWERED]
        found: list[tuple[Record, str]] = []
        for start in range(0, len(answered), _CHUNK):
            found += self._judged(answered[start : start + _CHUNK])
        return found

    def blindness(self, keys: Sequence[str]) -> float:
        """Returns the share of windows whose right answer would also pass as the next window's: 0 sees every mix-up."""
        if len(keys) < 2:
            return 0.0
        expected = self._expected([self._windows.window(key) for key in keys])
        passed = 0
        for index in range(len(keys)):
            mixed_up = _row(expected, (index + 1) % len(keys))
            passed += not self._fault(mixed_up, _row(expected, index))
        return passed / len(keys)

    def _judged(self, records: Sequence[Record]) -> Iterator[tuple[Record, str]]:
        windows = [self._windows.window(record.key) for record in records]
        expected = self._expected(windows)
        for index, (record, window) in enumerate(zip(records, windows, strict=True)):
            row = _row(expected, index)
            if record.digest != digest(window):
                yield record, "it is about another window"
            elif len(record.values) != WIDTH:
                yield record, f"{len(record.values)} figures instead of {WIDTH}"
            elif fault := self._fault(_outputs(record.values, row.features), row):
                yield record, fault

    def _expected(self, windows: Sequence[Window]) -> ModelOutputs:
        return eager_outputs(self._network, np.stack(windows))

    def _fault(self, given: ModelOutputs, expected: ModelOutputs) -> str:
        found = compare(given, expected, self._network.target_deviation.numpy(), self._tolerance)
        return "" if found.passed else str(found)


def _row(outputs: ModelOutputs, index: int) -> ModelOutputs:
    return ModelOutputs(*(getattr(outputs, name)[index : index + 1] for name in OUTPUT_NAMES))


def _outputs(values: Sequence[float], features: NDArray[np.float32]) -> ModelOutputs:
    parts, start = {}, 0
    for name, width in _PARTS.items():
        parts[name] = np.array([values[start : start + width]], dtype=np.float32)
        start += width
    return ModelOutputs(**parts, features=features)

"""The quality gate: an engine serves a version only if it gives the eager network's answers to real windows.

Owns the verdict. Knows neither where the windows come from nor how the engine was made; builds nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.engine import Engine, EngineInfo
from model.errors import QualityGateError
from model.golden_set import GoldenSet
from model.outputs import ModelOutputs, concatenate
from model.parity import BATCH_SIZES, MINIMUM_WINDOWS, TOLERANCES, Differences, batches, compare

_BROKEN_NETWORK: Final = "retrain the model: its weights give no usable answers to real windows"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateReport:
    """An engine that passed.

    Attributes:
        engine: What was held to the answers.
        window_count: Real windows, >= 256.
        differences: The worst found, by batch size; all within the tolerance.
    """

    engine: EngineInfo
    window_count: int
    differences: Mapping[int, Differences]

    def __str__(self) -> str:
        worst = max(self.differences.values(), key=lambda found: found.share_of_tolerance)
        return f"{self.window_count} real windows in batches of {', '.join(map(str, self.differences))}: {worst}"


def check_engine(
    engine: Engine, golden: GoldenSet, folder: Path, pause: Callable[[], None] = lambda: None
) -> GateReport:
    """Run every golden window through `engine` in batches of 1, of 7 and of 64, in this order.

    Small batches first: the likeliest faults show on them, and what they cost others is small. All windows at all
    sizes, because a window that is wrong only in some row of some batch is as wrong.

    Args:
        engine: Held to the tolerance of its own precision.
        golden: Windows and answers of the version's network.
        folder: The version's, for errors.
        pause: Called after each engine call; may wait, so that others compute.

    Raises:
        QualityGateError: An answer is not finite, not normalised or not within the tolerance, or the network itself
            gives none that is.
    """
    if len(golden.windows) < MINIMUM_WINDOWS:
        finding = f"{len(golden.windows)} real windows are fewer than {MINIMUM_WINDOWS}"
        raise QualityGateError(folder, "", finding, f"give at least {MINIMUM_WINDOWS}")
    if invalid := _invalid_rows(golden.expected):
        raise QualityGateError(folder, "", f"the network's own answers are {invalid}", _BROKEN_NETWORK)
    info = engine.info
    described = f"{info.name} {info.precision}"
    remedy = f"choose another engine{' or precision fp32' if info.precision != 'fp32' else ''}, or retrain the model"
    differences = {}
    for size in BATCH_SIZES:
        parts = []
        for batch in batches(golden.windows, size):
            parts.append(engine.run(batch))
            pause()
        outputs = concatenate(parts)
        if len(outputs) != len(golden.windows):
            finding = f"{len(outputs)} answers to {len(golden.windows)} windows in batches of {size}"
            raise QualityGateError(folder, described, finding, remedy)
        if invalid := _invalid_rows(outputs):
            raise QualityGateError(folder, described, f"in batches of {size} its answers are {invalid}", remedy)
        found = compare(outputs, golden.expected, golden.target_deviation, TOLERANCES[info.precision])
        if not found.passed:
            raise QualityGateError(folder, described, f"in batches of {size} it is off by {found}", remedy)
        differences[size] = found
    return GateReport(engine=info, window_count=len(golden.windows), differences=differences)


def _invalid_rows(outputs: ModelOutputs) -> str:
    """What is wrong with answers by themselves; empty if nothing is."""
    valid = outputs.valid_rows()
    if valid.all():
        return ""
    rows = (~valid).nonzero()[0].tolist()
    shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
    return f"not finite or not normalised for {len(rows)} of {len(outputs)} windows ({shown})"

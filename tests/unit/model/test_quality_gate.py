"""Laws of the quality gate: a right engine passes, and whatever is wrong in any row of any batch size does not."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.engine import EngineInfo, Precision
from model.errors import QualityGateError
from model.golden_set import GoldenSet
from model.network import HybridNetwork
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.parity import TOLERANCES
from model.quality_gate import check_engine
from tests.support.registry import SMALL, make_config, real_windows

FOLDER = Path("registry/cnn_lstm/1")
Break = Callable[[ModelOutputs, int], ModelOutputs]


def network(seed: int) -> HybridNetwork:
    """A network whose answers differ from window to window; another one for each seed."""
    config = make_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = HybridNetwork(SMALL)
    made.set_normalisation(config.feature_normalisation, config.target_normalisation)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def golden() -> GoldenSet:
    """256 real windows and a network's answers."""
    return GoldenSet.from_network(network(0), real_windows()[:256])


class Recorded:
    """Answers as the network did, to the windows it was asked about then; then breaks its answer.

    Args:
        golden: What it answers.
        broken: Takes an answer and the size of its batch.
        precision: What it says that it computes in.
    """

    def __init__(
        self, golden: GoldenSet, broken: Break = lambda outputs, _: outputs, *, precision: Precision = "fp32"
    ) -> None:
        self.info = EngineInfo(name="recorded", device="cpu", precision=precision, threads=1, reason="a test")
        self.sizes: list[int] = []
        self._rows = {window.tobytes(): row for row, window in enumerate(golden.windows)}
        self._expected = golden.expected
        self._broken = broken

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Looks the answers up."""
        self.sizes.append(len(windows))
        rows = [self._rows[window.tobytes()] for window in windows]
        outputs = ModelOutputs(*(getattr(self._expected, name)[rows] for name in OUTPUT_NAMES))
        return self._broken(outputs, len(windows))

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Nothing to prepare."""
        return dict.fromkeys(batch_sizes, 1.0)


def changed(golden: GoldenSet, row: int, name: str, amount: float, *, at: int) -> Break:
    """Adds `amount` to a number of window `row`'s answer, in batches of `at` alone; shares still sum to one."""
    target = getattr(golden.expected, name)[row]

    def apply(outputs: ModelOutputs, size: int) -> ModelOutputs:
        values = getattr(outputs, name).copy()
        if size == at:
            found = (values == target).all(axis=1)
            values[found, 0] += np.float32(amount)
            if "probabilities" in name:
                values[found, 1] -= np.float32(amount)
        return dataclasses.replace(outputs, **{name: values})

    return apply


def test_the_networks_own_answers_pass(golden: GoldenSet) -> None:
    """Every window is asked about alone, by seven and by 64; a pause follows each call; the report says how close."""
    engine, pauses = Recorded(golden), []
    report = check_engine(engine, golden, FOLDER, lambda: pauses.append(len(engine.sizes)))
    assert engine.sizes == [1] * 256 + [7] * 36 + [4] + [64] * 4
    assert pauses == list(range(1, len(engine.sizes) + 1))
    assert report.window_count == 256
    assert list(report.differences) == [1, 7, 64]
    assert all(found.passed and found.feature == 0.0 for found in report.differences.values())
    assert "256 real windows" in str(report)


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("class_probabilities", "probability"),
        ("regression_mean", "regression"),
        ("ensemble_regression_standard_deviation", "regression"),
        ("features", "feature"),
    ],
)
def test_one_window_in_256_off_by_twice_the_tolerance(
    golden: GoldenSet, size: int, precision: Precision, name: str, tolerance: str
) -> None:
    """In any output, at any one batch size, is refused; half the tolerance passes."""
    allowed = getattr(TOLERANCES[precision], tolerance)
    if tolerance == "regression":
        allowed *= float(golden.target_deviation[0])
    wrong = changed(golden, 77, name, 2.2 * allowed, at=size)
    with pytest.raises(QualityGateError, match=f"batches of {size} ") as raised:
        check_engine(Recorded(golden, wrong, precision=precision), golden, FOLDER)
    error = raised.value
    assert (error.folder, error.engine) == (FOLDER, f"recorded {precision}")
    assert tolerance in error.finding
    assert error.remedy
    close = changed(golden, 77, name, 0.4 * allowed, at=size)
    assert check_engine(Recorded(golden, close, precision=precision), golden, FOLDER).window_count == 256


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite(golden: GoldenSet, value: float) -> None:
    """Names how many windows, and the first of them."""
    wrong = changed(golden, 200, "features", value, at=7)
    with pytest.raises(QualityGateError, match=r"not finite .* 1 of 256 windows \(200\)"):
        check_engine(Recorded(golden, wrong), golden, FOLDER)


def test_shares_that_are_not_normalised(golden: GoldenSet) -> None:
    """Probabilities that do not sum to one are refused, however near the right ones."""

    def inflate(outputs: ModelOutputs, _: int) -> ModelOutputs:
        shares = outputs.class_probabilities + np.float32(4e-3)  # within the tolerance of bf16
        return dataclasses.replace(outputs, class_probabilities=shares)

    with pytest.raises(QualityGateError, match="not normalised"):
        check_engine(Recorded(golden, inflate, precision="bf16"), golden, FOLDER)


def swapped(outputs: ModelOutputs, _: int) -> ModelOutputs:
    """Gives the ensemble's answers for the heads', and the heads' for the ensemble's."""
    return ModelOutputs(
        outputs.ensemble_class_probabilities,
        outputs.ensemble_regression_mean,
        outputs.ensemble_regression_standard_deviation,
        outputs.class_probabilities,
        outputs.regression_mean,
        outputs.regression_standard_deviation,
        outputs.ensemble_weights,
        outputs.features,
    )


def reversed_rows(outputs: ModelOutputs, _: int) -> ModelOutputs:
    """Gives each window of a batch the answer of another."""
    return ModelOutputs(*(getattr(outputs, name)[::-1] for name in OUTPUT_NAMES))


def shortened(outputs: ModelOutputs, size: int) -> ModelOutputs:
    """Answers to four windows of a large batch only, as an engine does that keeps the shape of its last call."""
    return ModelOutputs(*(getattr(outputs, name)[: 4 if size == 64 else size] for name in OUTPUT_NAMES))


@pytest.mark.parametrize("broken", [swapped, reversed_rows, shortened])
def test_answers_in_the_wrong_place(golden: GoldenSet, broken: Break) -> None:
    """Heads, windows and counts all matter."""
    with pytest.raises(QualityGateError):
        check_engine(Recorded(golden, broken), golden, FOLDER)


def test_stale_weights(golden: GoldenSet) -> None:
    """An engine of other weights is refused."""
    stale = GoldenSet.from_network(network(1), golden.windows)
    with pytest.raises(QualityGateError, match="off by"):
        check_engine(Recorded(stale, precision="bf16"), golden, FOLDER)


def test_a_network_whose_own_answers_are_no_use(golden: GoldenSet) -> None:
    """No engine is to blame, so none is named, and none is run."""
    features = golden.expected.features.copy()
    features[5] = np.nan
    broken = dataclasses.replace(golden, expected=dataclasses.replace(golden.expected, features=features))
    engine = Recorded(golden)
    with pytest.raises(QualityGateError, match="own answers") as raised:
        check_engine(engine, broken, FOLDER)
    assert raised.value.engine == ""
    assert not engine.sizes


def test_few_windows_prove_nothing(golden: GoldenSet) -> None:
    """255 are refused."""
    rows = ModelOutputs(*(getattr(golden.expected, name)[:255] for name in OUTPUT_NAMES))
    few = GoldenSet(windows=golden.windows[:255], expected=rows, target_deviation=golden.target_deviation)
    with pytest.raises(QualityGateError, match="255"):
        check_engine(Recorded(golden), few, FOLDER)

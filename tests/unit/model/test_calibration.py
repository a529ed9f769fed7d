"""Laws of calibration and of the figures reported."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.calibration import MAX_TEMPERATURE, NOMINAL_COVERAGE, calibrate, fit_temperature, uncertainty_scale
from model.model_config import NetworkConfig
from model.network import HybridNetwork, InferenceNetwork
from model.training_report import baseline_figures, classification_figures, expected_calibration_error

TINY = NetworkConfig(
    cnn_filters=4,
    kernel_sizes=(3, 5),
    attention_heads=2,
    projection=8,
    lstm_hidden=8,
    lstm_layers=1,
    fusion=16,
    head_hidden=8,
    ensemble_heads=3,
    ensemble_hidden=8,
    monte_carlo_samples=4,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from two threads, which on a busy machine wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.7])
def test_a_known_temperature_is_found(temperature: float) -> None:
    """Logits blown up by T over those that the labels were drawn from give back T."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    classes = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    blown = logits * temperature
    found = fit_temperature(lambda t: float(functional.cross_entropy(blown / t, classes)))
    assert found == pytest.approx(temperature, rel=0.05)


def test_a_temperature_never_makes_the_fit_worse_and_is_bounded() -> None:
    """Losses without a minimum inside give the bound; a loss that is best at 1 keeps 1."""
    assert fit_temperature(lambda t: -t) == pytest.approx(MAX_TEMPERATURE, rel=0.01)
    assert fit_temperature(lambda t: t) == pytest.approx(1 / MAX_TEMPERATURE, rel=0.01)
    assert fit_temperature(lambda t: 0.0 if t == 1.0 else 1.0) == 1.0


def test_the_scale_brings_coverage_to_68_percent() -> None:
    """Errors of another width than predicted are covered by 68.27 % after scaling, and the scale is that ratio."""
    generator = torch.Generator().manual_seed(2)
    deviation = torch.rand(50_000, 2, generator=generator) + 0.5
    target = torch.randn(50_000, 2, generator=generator) * deviation * torch.tensor([2.0, 0.3])
    scale = uncertainty_scale(torch.zeros(50_000, 2), deviation, target)
    assert scale.tolist() == pytest.approx([2.0, 0.3], rel=0.02)
    coverage = (target.abs() <= scale * deviation).double().mean(dim=0)
    assert coverage.tolist() == pytest.approx([NOMINAL_COVERAGE] * 2, abs=1e-3)


def test_calibration_is_folded_into_what_inference_answers() -> None:
    """After calibration the served network itself covers 68 % and has no worse log loss, for head and ensemble."""
    torch.manual_seed(3)
    network = HybridNetwork(TINY)
    windows, targets = torch.randn(300, 50, 60), torch.rand(300, 2) * 0.01
    classes = torch.randint(0, 3, (300,))
    with torch.no_grad():
        network.classification.output.weight.mul_(20)  # overconfident, as trained networks are
        network.ensemble.weight.mul_(20)
        before = InferenceNetwork(network)(windows)
        result = calibrate(network, windows, classes, targets)
        after = InferenceNetwork(network)(windows)
    for index, temperature in ((0, result.temperature), (3, result.ensemble_temperature)):
        assert temperature > 1
        losses = [classification_figures(a[index].numpy(), classes.numpy())["log_loss"] for a in (before, after)]
        assert losses[1] < losses[0]
    for index in (1, 4):
        torch.testing.assert_close(after[index], before[index])  # means are untouched
        covered = ((targets - after[index]).abs() <= after[index + 1] * (1 + 1e-5)).double().mean(dim=0)
        assert covered.tolist() == pytest.approx([NOMINAL_COVERAGE] * 2, abs=0.01)
    torch.testing.assert_close(network.uncertainty_scale, torch.tensor(result.uncertainty_scale))


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """Confidence 0.8 with accuracy 0.6 has an error of 0.2; with accuracy 0.8, of 0."""
    shares = np.tile([0.8, 0.1, 0.1], (10, 1))
    assert expected_calibration_error(shares, np.array([0] * 6 + [1] * 4)) == pytest.approx(0.2)
    assert expected_calibration_error(shares, np.array([0] * 8 + [2] * 2)) == pytest.approx(0.0)


def test_certain_errors_have_a_finite_loss() -> None:
    """A probability of zero for what happened gives a large, finite log loss."""
    figures = classification_figures(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), np.array([2]))
    assert figures["log_loss"] == pytest.approx(-math.log(1e-12))


def test_baselines_come_from_the_training_split() -> None:
    """The majority class, the shares and the mean volatility are the training split's, whatever the split judged."""
    training_classes, classes = np.array([2, 2, 0, 1]), np.array([2, 0, 0, 0])
    training_targets = np.array([[5.0, 1.0]] * 2 + [[5.0, 3.0]] * 2, dtype=np.float32)
    targets = np.array([[0.3, 2.0], [-0.4, 2.0], [0.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    figures = baseline_figures(classes, targets, training_classes, training_targets)
    assert figures["classification"]["class"] == 2
    assert figures["classification"]["accuracy"] == 0.25
    assert figures["classification"]["log_loss"] == pytest.approx(-(math.log(0.5) + 3 * math.log(0.25)) / 4)
    assert figures["regression"]["return"] == pytest.approx({"rmse": 0.25, "mae": 0.175})
    assert figures["regression"]["volatility"] == pytest.approx({"rmse": math.sqrt(2), "mae": 1.0})

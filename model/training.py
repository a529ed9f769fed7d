"""Training: bars in, a trained, calibrated and measured network out.

Owns the run: splits, normalisation, the order of fitting and calibrating, what the report says. Knows no files, no
registry and no terminal; progress goes to a function the caller gives.

The same bars, settings and machine give the same weights, unless the time budget cuts the run short.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import torch

from model.bar import Bar
from model.bar_file import common_interval
from model.calibration import calibrate
from model.dataset import (
    SAMPLE_REACH,
    TIME_STEPS,
    BarRange,
    Dataset,
    Floats,
    Split,
    chronological_split,
    label_thresholds,
    labels,
)
from model.feature_schema import SCHEMA_ID
from model.fitting import Samples, TrainingProgress, fit, uses_bf16
from model.losses import LOSS_WEIGHTS
from model.model_config import FeatureRange, ModelConfig, Normalisation
from model.network import HybridNetwork
from model.training_report import baseline_figures, model_figures
from model.training_settings import TrainingSettings

FEATURE_CLIP: Final = 6.0  # standard deviations: past it lies one real value in ten thousand
GOLDEN_WINDOWS: Final = 256
_LEAST_DEVIATION: Final = 1e-6  # a feature that never moves is centred, not divided by nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A finished run.

    Attributes:
        network: Trained and calibrated, in evaluation mode.
        config: All that `config.json` is to hold but the weights' hash; `config.training` is the report.
        golden: Windows of the test split for engines to be held to, raw, float32 [256, 50, 60], spread evenly over it;
            None where it has fewer.
    """

    network: HybridNetwork
    config: ModelConfig
    golden: Floats | None


def train_model(
    bars: Sequence[Bar],
    settings: TrainingSettings,
    progress: Callable[[TrainingProgress], None] = lambda _: None,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> TrainedModel:
    """Trains on `bars`, oldest first.

    Args:
        bars: At least some 1 000 for the default splits; the error says how many.
        settings: Of this run.
        progress: Called after every step and every epoch.
        provenance: What the caller knows of the bars' origin, JSON-able; kept in the report under `data`.

    Raises:
        NotEnoughBarsError: The bars do not fill the three splits.
        InvalidBarError: The bars are out of order.
        LifelessBarsError: Prices hardly move.
    """
    started = (time.perf_counter(), time.process_time())
    horizon = settings.prediction_horizon
    bar_interval = settings.bar_interval or common_interval(list(bars))
    embargo = settings.embargo or horizon + TIME_STEPS
    split = chronological_split(len(bars), horizon=horizon, embargo=embargo)
    data = Dataset.from_bars(bars, horizon=horizon, bar_interval=bar_interval)
    thresholds = label_thresholds(data.targets(split.train.anchors(horizon))[:, 0])
    train, validation, test = (
        _part(data, bar_range, thresholds) for bar_range in (split.train, split.validation, split.test)
    )
    # Of all the rows that training windows read, and of no other.
    rows = data.rows[: int(train.anchors[-1]) - (SAMPLE_REACH - TIME_STEPS) + 1]
    feature_normalisation = _normalisation(rows, clip=FEATURE_CLIP)
    target_normalisation = _normalisation(train.targets, clip=None)

    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or (1 if uses_bf16(settings) else 2))
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to reseed
            torch.manual_seed(settings.seed)
            network = HybridNetwork(settings.network)
            network.set_normalisation(feature_normalisation, target_normalisation)
            history = fit(network, data, train, validation, settings, progress)
        windows = torch.from_numpy(data.windows(validation.anchors))
        calibration = calibrate(
            network, windows, torch.from_numpy(validation.classes), torch.from_numpy(validation.targets)
        )
        report = {
            "data": {**(provenance or {}), "bars": len(bars), "splits": _boundaries(data, split)},
            "settings": _plain(settings),
            "labels": "terciles of the training split's forward log return; volatility is the root of the sum of the"
            " squared one-bar log returns over the horizon",
            "loss_weights": dict(LOSS_WEIGHTS),
            "history": history,
            "calibration": asdict(calibration),
        }
        for name, part in (("validation", validation), ("test", test)):
            figures = model_figures(network, torch.from_numpy(data.windows(part.anchors)), part.classes, part.targets)
            report[name] = figures | {
                "baseline": baseline_figures(part.classes, part.targets, train.classes, train.targets)
            }
    finally:
        torch.set_num_threads(threads)
    report["duration"] = {
        "wall_seconds": round(time.perf_counter() - started[0], 3),
        "cpu_seconds": round(time.process_time() - started[1], 3),
        "torch_version": str(torch.__version__),
    }
    config = ModelConfig(
        network=settings.network,
        feature_schema=SCHEMA_ID,
        bar_interval_seconds=bar_interval,
        prediction_horizon=horizon,
        feature_normalisation=feature_normalisation,
        target_normalisation=target_normalisation,
        class_thresholds=thresholds,
        feature_range=FeatureRange(lower=tuple(rows.min(axis=0).tolist()), upper=tuple(rows.max(axis=0).tolist())),
        training=report,
    )
    return TrainedModel(network=network, config=config, golden=_golden(data, test))


def _golden(data: Dataset, part: Samples) -> Floats | None:
    if len(part.anchors) < GOLDEN_WINDOWS:
        return None
    chosen = np.linspace(0, len(part.anchors) - 1, GOLDEN_WINDOWS).astype(np.int64)
    return data.windows(part.anchors[chosen])


def _part(data: Dataset, bar_range: BarRange, thresholds: tuple[float, float]) -> Samples:
    anchors = bar_range.anchors(data.horizon)
    targets = data.targets(anchors)
    return Samples(anchors, labels(targets[:, 0], thresholds), targets)


def _normalisation(values: Floats, *, clip: float | None) -> Normalisation:
    """Mean and standard deviation of each column of [n, columns]."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # Targets are small by nature: judged against their own size, features against one.
    floor = _LEAST_DEVIATION * np.maximum(np.abs(mean), 0.0 if clip is None else 1.0)
    deviation = np.where(deviation > floor, deviation, 1.0)
    return Normalisation(mean=tuple(mean.tolist()), standard_deviation=tuple(deviation.tolist()), clip=clip)


def _plain(settings: TrainingSettings) -> dict[str, Any]:
    """The settings but the architecture, which `config.json` holds elsewhere."""
    return {name: value for name, value in asdict(settings).items() if name != "network"}


def _boundaries(data: Dataset, split: Split) -> dict[str, Any]:
    """Start of the first and of the last bar of each split (UTC), its bars and its samples."""

    def moment(index: int) -> str:
        return datetime.fromtimestamp(float(data.open_times[index]), UTC).isoformat()

    return {
        name: {
            "first_bar": moment(part.start),
            "last_bar": moment(part.stop - 1),
            "bars": len(part),
            "samples": len(part.anchors(data.horizon)),
        }
        for name, part in (("train", split.train), ("validation", split.validation), ("test", split.test))
    }

"""A small but real registry for tests: two versions of `cnn_lstm`, made from the real bars in about a second.

The networks are narrow and hardly trained, so they load fast; all else about them is as in production: 50 features of
the real schema, 60 steps, normalisation fitted on real windows, answers that differ from window to window.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.bar import Bar
from model.bar_file import read_bars
from model.dataset import load_windows
from model.feature_schema import SCHEMA_ID
from model.model_config import ModelConfig, NetworkConfig, Normalisation
from model.network import HybridNetwork
from model.registry import Registry
from scripts.layering import ROOT

DATA = ROOT / "data" / "eurusd_1h.csv"
NAME = "cnn_lstm"
BAR_INTERVAL = 3600.0
SMALL = NetworkConfig(
    cnn_filters=8, attention_heads=2, projection=16, lstm_hidden=16, fusion=32, head_hidden=16, ensemble_hidden=8
)
FULL = NetworkConfig()
_TARGETS = Normalisation(mean=(1e-5, 2e-3), standard_deviation=(2e-3, 1e-3))
_STEPS = 8
_RATE = 5e-3


@cache
def real_windows(count: int = 512) -> NDArray[np.float32]:
    """Returns the first windows of the real bars, float32 [count, 50, 60]; not to be written to."""
    windows = load_windows(DATA, limit=count)
    windows.setflags(write=False)
    return windows


@cache
def real_bars(count: int = 512) -> tuple[Bar, ...]:
    """Returns the first of the real bars, oldest first."""
    return tuple(read_bars(DATA, limit=count))


@cache
def make_config(network: NetworkConfig = SMALL) -> ModelConfig:
    """Returns the configuration of the models that `make_registry` writes, without a weights' hash."""
    windows = real_windows()
    mean = windows.mean(axis=(0, 2), dtype=np.float64).tolist()
    deviation = (windows.std(axis=(0, 2), dtype=np.float64) + 1e-6).tolist()
    return ModelConfig(
        network=network,
        feature_schema=SCHEMA_ID,
        bar_interval_seconds=BAR_INTERVAL,
        prediction_horizon=4,
        feature_normalisation=Normalisation(mean=mean, standard_deviation=deviation, clip=6.0),
        target_normalisation=_TARGETS,
        class_thresholds=(-5e-4, 5e-4),
        training={"test": {"accuracy": 0.34, "baseline": {"accuracy": 0.36}}, "note": "made by the tests"},
    )


def make_registry(path: Path, *, versions: int = 2, network: NetworkConfig = SMALL, name: str = NAME) -> Path:
    """Writes `versions` versions of a model, 1 and up, and returns `path`.

    Args:
        path: The registry's folder; made if it is not there.
        versions: How many; they answer differently.
        network: Architecture; `FULL` is the one in production and takes some seconds more.
        name: The model's name.
    """
    windows = real_windows()
    config = make_config(network)
    registry = Registry(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two spend their time waiting for each other
    try:
        for seed in range(versions):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = HybridNetwork(network)
                model.set_normalisation(config.feature_normalisation, config.target_normalisation)
                _train(model, torch.from_numpy(windows[::16].copy()))
            registry.save(name, model, config)
    finally:
        torch.set_num_threads(threads)
    return path


def _train(network: HybridNetwork, batch: torch.Tensor) -> None:
    """Takes a few steps towards arbitrary targets: a fresh network's answers hardly vary from window to window."""
    count = len(batch)
    labels = torch.arange(count) % len(network.config.class_labels)
    targets = torch.sin(torch.arange(count) * 1.7).unsqueeze(1).expand(-1, len(network.config.regression_names))
    network.train()
    for _ in range(_STEPS):
        outputs = network(batch)
        members = outputs.ensemble_class_logits.flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(outputs.class_logits, labels)
        loss = loss + torch.nn.functional.cross_entropy(
            members, labels.repeat_interleave(network.config.ensemble_heads)
        )
        loss = loss + torch.nn.functional.mse_loss(outputs.regression_mean, targets)
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        with torch.no_grad():
            # By the sign alone, as Adam's first steps are; importing torch's optimisers takes longer than all of this.
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad.sign(), alpha=_RATE)
    network.eval()

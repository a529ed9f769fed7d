"""What is served: the real network, and three others that move the cost to one place."""

from __future__ import annotations

import enum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.export import Material, prepare
from model.model_config import ModelConfig, NetworkConfig, Normalisation
from model.network import HybridNetwork
from model.registry import Registry
from tests.support.registry import NAME, SMALL, make_registry

_SLOW = NetworkConfig(cnn_filters=128, projection=256, lstm_hidden=256, fusion=512)
# 500 x 524 float32 are 1,048,000 bytes.
_WIDE = NetworkConfig(
    feature_count=500,
    time_steps=524,
    cnn_filters=1,
    kernel_sizes=(3,),
    attention_heads=1,
    projection=4,
    lstm_hidden=4,
    lstm_layers=1,
    fusion=8,
    head_hidden=4,
    ensemble_hidden=4,
)
_WIDE_WINDOWS = 16
# The fewest that the quality gate takes.
_GOLDEN = 256


class Network(enum.StrEnum):
    """The networks; each is served by a server of its own."""

    REAL = "real"
    NULL = "null"
    SLOW = "slow"
    WIDE = "wide"


def material(network: Network, folder: Path, *, registry: Path, model: str) -> Material:
    """Makes what a network's scenarios need.

    Args:
        network: Which.
        folder: Exists and is empty.
        registry: Folder of the registry with the real network.
        model: Its name there.

    Raises:
        model.errors.ModelError: There is no such model, or it is damaged.
    """
    if network is Network.REAL:
        return prepare(folder, registry=registry, name=model)
    made = folder / "registry"
    if network is Network.WIDE:
        _save_wide(made)
        return prepare(folder, registry=made, name=NAME, windows=_wide_windows(_WIDE_WINDOWS))
    make_registry(made, versions=2, network=_SLOW if network is Network.SLOW else SMALL)
    return prepare(folder, registry=made, name=NAME)


def _save_wide(path: Path) -> None:
    def unit(width: int, *, clip: float | None = None) -> Normalisation:
        return Normalisation(mean=(0.0,) * width, standard_deviation=(1.0,) * width, clip=clip)

    config = ModelConfig(
        network=_WIDE,
        feature_schema="wide-v1",
        bar_interval_seconds=3600.0,
        prediction_horizon=4,
        feature_normalisation=unit(_WIDE.feature_count, clip=6.0),
        target_normalisation=unit(len(_WIDE.regression_names)),
        class_thresholds=(-5e-4, 5e-4),
        training={"note": "made to measure large messages"},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = HybridNetwork(_WIDE)
    network.set_normalisation(config.feature_normalisation, config.target_normalisation)
    # Its schema is no other's, so it brings the windows that engines are held to.
    Registry(path).save(NAME, network.eval(), config, golden=_wide_windows(_GOLDEN))


def _wide_windows(count: int) -> NDArray[np.float32]:
    shape = (count, _WIDE.feature_count, _WIDE.time_steps)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

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
from tests.support.registry import NAME, make_registry

_SLOW = NetworkConfig(cnn_filters=128, projection=256, lstm_hidden=256, fusion=512)


def _hardly(*, feature_count: int, time_steps: int) -> NetworkConfig:
    """Returns an architecture that reads windows of a shape and computes as little as it can."""
    return NetworkConfig(
        feature_count=feature_count,
        time_steps=time_steps,
        cnn_filters=1,
        kernel_sizes=(1,),
        attention_heads=1,
        projection=2,
        lstm_hidden=1,
        lstm_layers=1,
        fusion=2,
        head_hidden=1,
        ensemble_heads=1,
        ensemble_hidden=1,
        monte_carlo_samples=2,
    )


# The real window's 3,000 numbers, and so its bytes, in one step: a recurrent layer's cost is its steps.
_NULL = _hardly(feature_count=3000, time_steps=1)
# A MiB of float32 in few steps: attention costs their square.
_WIDE = _hardly(feature_count=4096, time_steps=64)
_WINDOWS = {"null": 256, "wide": 16}
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
    if network is Network.SLOW:
        make_registry(made, versions=1, network=_SLOW)
        return prepare(folder, registry=made, name=NAME)
    architecture, versions = (_NULL, 2) if network is Network.NULL else (_WIDE, 1)
    for seed in range(versions):
        _save(made, architecture, schema=f"{network}-v1", seed=seed)
    windows = _random_windows(architecture, _WINDOWS[network])
    return prepare(folder, registry=made, name=NAME, windows=windows, versions=range(1, versions + 1))


def _save(path: Path, architecture: NetworkConfig, *, schema: str, seed: int) -> None:
    def unit(width: int, *, clip: float | None = None) -> Normalisation:
        return Normalisation(mean=(0.0,) * width, standard_deviation=(1.0,) * width, clip=clip)

    config = ModelConfig(
        network=architecture,
        feature_schema=schema,
        bar_interval_seconds=3600.0,
        prediction_horizon=4,
        feature_normalisation=unit(architecture.feature_count, clip=6.0),
        target_normalisation=unit(len(architecture.regression_names)),
        class_thresholds=(-5e-4, 5e-4),
        training={"note": "made to measure what is around the network"},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HybridNetwork(architecture)
    network.set_normalisation(config.feature_normalisation, config.target_normalisation)
    # Its schema is no other's, so it brings the windows that engines are held to.
    Registry(path).save(NAME, network.eval(), config, golden=_random_windows(architecture, _GOLDEN))


def _random_windows(architecture: NetworkConfig, count: int) -> NDArray[np.float32]:
    shape = (count, architecture.feature_count, architecture.time_steps)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

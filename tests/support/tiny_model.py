"""The smallest network that is still of the architecture, in a registry: for tests of files, which need no answers."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.errors import ModelLoadError
from model.model_config import ModelConfig, NetworkConfig, Normalisation
from model.network import HybridNetwork
from model.registry import Registry

NAME = "eurusd"
TINY = NetworkConfig(
    cnn_filters=4, attention_heads=2, projection=8, lstm_hidden=8, fusion=16, head_hidden=8, ensemble_hidden=4
)
CONFIG = ModelConfig(
    network=TINY,
    feature_schema="bars50/1",
    bar_interval_seconds=3600,
    prediction_horizon=6,
    feature_normalisation=Normalisation(mean=(0.1,) * 50, standard_deviation=(0.3,) * 50, clip=8),
    target_normalisation=Normalisation(mean=(1e-5, 2e-3), standard_deviation=(1e-3, 1e-3)),
    class_thresholds=(-1e-4, 1e-4),
)
WINDOWS = np.random.default_rng(0).normal(size=(256, 50, 60)).astype(np.float32)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def build(config: ModelConfig = CONFIG) -> HybridNetwork:
    """A network, each time another, that carries the config's normalisation."""
    network = HybridNetwork(config.network)
    network.set_normalisation(config.feature_normalisation, config.target_normalisation)
    return network


def saved_bytes(value: object, **options: Any) -> bytes:
    """What `torch.save` makes of `value`."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def folder(registry: Registry, version: int = 1) -> Path:
    """The folder of a version."""
    return registry.path / NAME / str(version)


def edit_config(registry: Registry, **values: Any) -> Path:
    """Overwrite fields of version 1's config."""
    path = folder(registry) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def replace_weights(registry: Registry, content: bytes) -> Path:
    """Put `content` in version 1's place and make its config vouch for it, as one with write access could."""
    path = folder(registry) / "model.pth"
    path.write_bytes(content)
    edit_config(registry, sha256=hashlib.sha256(content).hexdigest())
    return path


def refusal(registry: Registry) -> ModelLoadError:
    """Why version 1 is refused."""
    with pytest.raises(ModelLoadError) as caught:
        registry.load(NAME, 1)
    return caught.value

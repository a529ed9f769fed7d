"""One version of a model that is in memory and can answer. Knows nothing of where it came from, queues or RPCs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from model.engine import Engine
from model.model_config import ModelConfig

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A loaded version with its engine.

    Attributes:
        name: Name in the registry.
        version: Version number, at least 1.
        sha256: Of the weights file; also the key under which requests share a batch.
        config: The version's configuration.
        engine: Computes the answers; called from the scheduler's engine thread only.
        warm_up: Seconds that a batch took before service, by batch size.
        lower: Per feature, the least value seen in training, [features, 1].
        upper: Per feature, the greatest such value, [features, 1].
        memory_bytes: What it holds in memory, estimated.
    """

    name: str
    version: int
    sha256: str
    config: ModelConfig
    engine: Engine
    warm_up: Mapping[int, float]
    lower: FloatArray
    upper: FloatArray
    memory_bytes: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """Name and version."""
        return (self.name, self.version)

    def is_out_of_distribution(self, window: FloatArray) -> bool:
        """Tells whether any value of a `[features, steps]` window lies outside the range seen in training."""
        return bool((window < self.lower).any() or (window > self.upper).any())

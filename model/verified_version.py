"""A version's files, verified but not built: what can be known of it without making its network."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelLoadError
from model.model_config import ModelConfig
from model.registry import LoadedModel, Registry
from model.version_folder import read_version


@dataclass(frozen=True, kw_only=True, eq=False)
class VerifiedVersion:
    """One version on disk. Its weights were hashed, not unpickled.

    Attributes:
        name: Name in the registry.
        version: Number, >= 1.
        folder: Where it lies.
        sha256: Of the weights.
        weights_bytes: Size of the weights' file.
        config: Its configuration.
        golden: Real windows that it brings, read-only [n >= 256, f, t]; None if it brings none.
    """

    name: str
    version: int
    folder: Path
    sha256: str
    weights_bytes: int
    config: ModelConfig
    golden: NDArray[np.float32] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Features and steps of a window."""
        return self.config.network.feature_count, self.config.network.time_steps

    @cached_property
    def config_sha256(self) -> str:
        """Names all that the configuration says."""
        return hashlib.sha256(self.config.to_json().encode()).hexdigest()

    @cached_property
    def golden_sha256(self) -> str:
        """Names the windows that it brings; empty if it brings none."""
        return "" if self.golden is None else hashlib.sha256(self.golden.data).hexdigest()

    @classmethod
    def read(cls, registry: Registry, name: str, version: int | Literal["latest"] | None = None) -> "VerifiedVersion":
        """Read one version's files and check them against their hashes, in a fraction of the time of loading it.

        Raises:
            ModelNotFoundError: No such name or version.
            ModelLoadError: A file is missing, unreadable, or not what its hash says.
        """
        number = registry.resolve(name, version)
        folder = registry.path / name / str(number)
        files = read_version(folder)
        return cls(
            name=name,
            version=number,
            folder=folder,
            sha256=files.config.sha256,
            weights_bytes=len(files.weights),
            config=files.config,
            golden=files.golden,
        )

    def load(self, registry: Registry) -> LoadedModel:
        """Build this very version's network.

        Raises:
            ModelLoadError: It is refused, or another version lies in its place now.
        """
        loaded = registry.load(self.name, self.version)
        if loaded.config != self.config:  # which holds the hashes of the other files
            raise ModelLoadError(self.folder, "was replaced while it was being loaded", "try again")
        return loaded

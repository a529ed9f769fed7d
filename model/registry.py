"""The model registry on disk: `<registry>/<name>/<version>/{model.pth, config.json, golden.npy}`.

Owns names, versions and the way from a name to a network in memory. Versions are integers from 1; the latest is the
highest complete one. A version is written beside its place and renamed into it, so a reader sees all of it or nothing.
Weights are hashed before a byte of them is unpickled, and unpickled as tensors only. Whatever the disk does to a
reader, it gets a `ModelError` that names the file.
"""

import dataclasses
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import ModelLoadError, ModelNameError, ModelNotFoundError
from model.golden_file import GOLDEN_FILE, golden_bytes
from model.latest_folder import LATEST, LatestFolder
from model.model_config import ModelConfig
from model.network import HybridNetwork
from model.version_folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    missing_files,
    read_config,
    read_version,
    version_numbers,
    write_version,
)
from model.weights_file import build_network, read_state

NAME_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,63}"
_LAYOUT_REMEDY = (
    f"put it at <registry>/<name>/<version>/{WEIGHTS_FILE} with its {CONFIG_FILE} beside it, version from 1; "
    "MODEL_PATH imports bare weights"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A version in memory, its weights verified.

    Attributes:
        name: Of the model.
        version: From 1.
        sha256: Of the weights.
        config: Of the version.
        network: In evaluation mode, not to be trained.
        golden: Real windows that the version brings, read-only [n >= 256, f, t], finite; None if it brings none.
    """

    name: str
    version: int
    sha256: str
    config: ModelConfig
    network: HybridNetwork
    golden: NDArray[np.float32] | None = None


class Registry:
    """A registry folder: what it answers is what is on disk at the call.

    It remembers no more than whether the folder was ever there, and which content of `latest/` it has dealt with.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._seen = False
        self._latest_folders: dict[str, LatestFolder] = {}

    def names(self) -> tuple[str, ...]:
        """Models with at least one complete version, sorted.

        Raises:
            ModelLoadError: The registry is not a readable folder, or is there no more.
        """
        return tuple(self._available())

    def versions(self, name: str) -> tuple[int, ...]:
        """Complete versions of `name`, ascending; empty if there is no such model.

        A folder that lacks one of the two files is being written, or was left half-written: it is not a version.

        Raises:
            ModelLoadError: The model's folder is there and cannot be read.
        """
        if re.fullmatch(NAME_PATTERN, name) is None:
            return ()
        folder = self.path / name
        with _readable(folder):
            try:
                numbers = version_numbers(folder)
            except (FileNotFoundError, NotADirectoryError):
                return ()
            return tuple(number for number in numbers if not missing_files(folder / str(number)))

    def resolve(self, name: str, version: int | Literal["latest"] | None = None) -> int:
        """The version number to load; None and "latest" stand for the highest complete one.

        A literal `latest/` folder, as the service that tickserve replaces had them, is first imported as the next
        version, once for each content.

        Raises:
            ModelNotFoundError: No such name, or no such version.
            ModelLoadError: It is there but not as a registry stores it: half-written, a `latest/` folder that cannot be
                imported, a bare `.pth`; or the registry itself is not a readable folder, or is there no more.
        """
        number = version if isinstance(version, int) else None
        available = self._available()
        if re.fullmatch(NAME_PATTERN, name) is None:  # never let it touch a path
            raise ModelNotFoundError(name, number, available)
        folder = self.path / name
        with _readable(folder):
            if number is None:
                if os.path.lexists(folder / LATEST):
                    latest_folder = self._latest_folders.setdefault(name, LatestFolder(folder))
                    imported = latest_folder.version(available.get(name, ()))
                    return max((imported, *available.get(name, ())))
                if available.get(name):
                    return available[name][-1]
                self._refuse_bare_weights(name)
            elif number in available.get(name, ()):
                return number
            elif number >= 1 and (folder / str(number)).is_dir():
                _refuse_half_written(folder / str(number))
        raise ModelNotFoundError(name, number, available)

    def load(self, name: str, version: int | Literal["latest"] | None = None) -> LoadedModel:
        """Read, verify and build one version.

        Raises:
            ModelNotFoundError: As `resolve`.
            ModelLoadError: As `resolve`; or a file is missing, unreadable, too large, not what its hash says, not
                tensors, or config, weights and golden windows do not belong together.
        """
        number = self.resolve(name, version)
        folder = self.path / name / str(number)
        stored = read_version(folder)
        weights_path = folder / WEIGHTS_FILE
        network = build_network(stored.config, read_state(stored.weights, weights_path), weights_path)
        return LoadedModel(
            name=name,
            version=number,
            sha256=stored.config.sha256,
            config=stored.config,
            network=network,
            golden=stored.golden,
        )

    def config(self, name: str, version: int) -> ModelConfig:
        """Read a version's configuration alone.

        Raises:
            ModelNotFoundError, ModelLoadError: As `resolve`; or the file is unreadable or wrong.
        """
        return read_config(self.path / name / str(self.resolve(name, version)) / CONFIG_FILE)

    def save(
        self, name: str, network: HybridNetwork, config: ModelConfig, golden: NDArray[np.float32] | None = None
    ) -> int:
        """Write a new version, atomically, and give its number: one above the highest there.

        Args:
            name: Of the model; see `NAME_PATTERN`.
            network: Of `config.network`, carrying `config`'s normalisation.
            config: Its hashes are filled in.
            golden: Real windows for engines to be held to, float32 [n >= 256, f, t].

        Raises:
            ModelNameError: `name` does not match `NAME_PATTERN`.
            ModelLoadError: Network, config and windows do not belong together; nothing was written.
            OSError: The disk refuses.
        """
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise ModelNameError(name, NAME_PATTERN)
        folder = self.path / name
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        build_network(config, network.state_dict(), folder)  # what could not be loaded is not saved
        windows = None if golden is None else golden_bytes(golden, config, folder / GOLDEN_FILE)
        return write_version(folder, weights=buffer.getvalue(), config=config, golden=windows)

    def _available(self) -> dict[str, tuple[int, ...]]:
        with _readable(self.path):
            if self.path.is_file():
                raise ModelLoadError(self.path, "is a file, not a registry", _LAYOUT_REMEDY)
            try:
                entries = sorted(entry.name for entry in self.path.iterdir())
            except FileNotFoundError:
                if self._seen:
                    remedy = "mount or restore it; what is loaded goes on answering"
                    raise ModelLoadError(self.path, "was there and has disappeared", remedy) from None
                return {}  # nothing trained yet: there is no model
        self._seen = True
        available = {name: self.versions(name) for name in entries}
        return {name: numbers for name, numbers in available.items() if numbers}

    def _refuse_bare_weights(self, name: str) -> None:
        folder = self.path / name
        inside = sorted(folder.glob("*.pth")) if folder.is_dir() else []
        for path in [folder, self.path / f"{name}.pth", *inside]:
            if path.is_file() and path.suffix == ".pth":
                raise ModelLoadError(path, "bare weights, not a version", _LAYOUT_REMEDY)
        for number in version_numbers(folder) if folder.is_dir() else []:
            if (folder / str(number)).is_dir():
                _refuse_half_written(folder / str(number))


def _refuse_half_written(folder: Path) -> None:
    if missing := missing_files(folder):
        reason = f"half-written: {' and '.join(missing)} missing"
        raise ModelLoadError(folder, reason, "finish the copy, or delete the folder")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into a ModelLoadError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ModelLoadError(path, reason, "check its permissions, or mount it again") from error

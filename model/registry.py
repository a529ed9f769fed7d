"""The model registry on disk: `<registry>/<name>/<version>/{model.pth, config.json}`.

Owns names, versions, and the checks between a file and a network in memory. Versions are integers from 1; the
latest is the highest complete one. A version is written beside its place and renamed into it, so a reader sees all
of it or nothing. Weights are hashed before a byte of them is unpickled, and unpickled as tensors only.
"""

import dataclasses
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from model.errors import ConfigError, ModelLoadError, ModelNameError, ModelNotFoundError
from model.model_config import ModelConfig, Normalisation
from model.network import HybridNetwork

WEIGHTS_FILE = "model.pth"
CONFIG_FILE = "config.json"
LATEST = "latest"
NAME_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,63}"
_VERSION_PATTERN = r"[1-9][0-9]{0,17}"  # fits the contract's int64
_LAYOUT_REMEDY = (
    f"put it at <registry>/<name>/<version>/{WEIGHTS_FILE} with its {CONFIG_FILE} beside it, version from 1"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A version in memory, its weights verified. `network` is in evaluation mode and is not to be trained."""

    name: str
    version: int
    sha256: str
    config: ModelConfig
    network: HybridNetwork


class Registry:
    """A registry folder. Holds no state but the path: what it answers is what is on disk at the call."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def names(self) -> tuple[str, ...]:
        """Models with at least one complete version, sorted.

        Raises:
            ModelLoadError: The registry is not a readable folder.
        """
        return tuple(self._available())

    def versions(self, name: str) -> tuple[int, ...]:
        """Complete versions of `name`, ascending; empty if there is no such model.

        A folder that lacks one of the two files is being written, or was left half-written: it is not a version.
        """
        if re.fullmatch(NAME_PATTERN, name) is None:
            return ()
        folder = self.path / name
        if not folder.is_dir():
            return ()
        found = (int(entry.name) for entry in folder.iterdir() if re.fullmatch(_VERSION_PATTERN, entry.name))
        return tuple(sorted(version for version in found if not self._missing_files(folder / str(version))))

    def resolve(self, name: str, version: int | Literal["latest"] | None = None) -> int:
        """The version number to load; None and "latest" stand for the highest complete one.

        Raises:
            ModelNotFoundError: No such name, or no such version.
            ModelLoadError: It is there but not as a registry stores it: half-written, a literal `latest/` folder,
                a bare `.pth`; or the registry itself is not a readable folder.
        """
        number = version if isinstance(version, int) else None
        available = self._available()
        if re.fullmatch(NAME_PATTERN, name) is None:  # never let it touch a path
            raise ModelNotFoundError(name, number, available)
        folder = self.path / name
        if number is None:
            if os.path.lexists(folder / LATEST):
                remedy = "rename it to the next version number, or delete it: the highest number is the latest"
                raise ModelLoadError(folder / LATEST, "versions are integers, not 'latest'", remedy)
            if available.get(name):
                return available[name][-1]
            self._refuse_bare_weights(name)
        elif number in available.get(name, ()):
            return number
        elif number >= 1 and (folder / str(number)).is_dir():
            self._refuse_half_written(folder / str(number))
        raise ModelNotFoundError(name, number, available)

    def load(self, name: str, version: int | Literal["latest"] | None = None) -> LoadedModel:
        """Read, verify and build one version.

        Raises:
            ModelNotFoundError: As `resolve`.
            ModelLoadError: As `resolve`; or a file is missing, unreadable, not what its hash says, not tensors,
                or config and weights do not belong together.
        """
        number = self.resolve(name, version)
        folder = self.path / name / str(number)
        config = _read_config(folder / CONFIG_FILE)
        weights_path = folder / WEIGHTS_FILE
        content = _read(weights_path)  # read once: what is hashed is what is unpickled
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != config.sha256:
            reason = f"sha256 is {sha256}, {CONFIG_FILE} says {config.sha256 or 'nothing'}"
            raise ModelLoadError(weights_path, reason, "the file is damaged or was replaced: restore or retrain it")
        network = _build(config, _unpickle(content, weights_path), weights_path)
        return LoadedModel(name=name, version=number, sha256=sha256, config=config, network=network)

    def config(self, name: str, version: int) -> ModelConfig:
        """Read a version's configuration alone.

        Raises:
            ModelNotFoundError, ModelLoadError: As `resolve`; or the file is unreadable or wrong.
        """
        return _read_config(self.path / name / str(self.resolve(name, version)) / CONFIG_FILE)

    def save(self, name: str, network: HybridNetwork, config: ModelConfig) -> int:
        """Write a new version, atomically, and give its number: one above the highest there.

        `config.sha256` is filled in; `network` must be of `config.network` and carry `config`'s normalisation.

        Raises:
            ModelNameError: `name` does not match `NAME_PATTERN`.
            ModelLoadError: `network` and `config` do not belong together; nothing was written.
            OSError: The disk refuses.
        """
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise ModelNameError(name, NAME_PATTERN)
        folder = self.path / name
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        content = buffer.getvalue()
        _build(config, network.state_dict(), folder)  # what could not be loaded is not saved
        config = dataclasses.replace(config, sha256=hashlib.sha256(content).hexdigest())
        text = config.to_json()

        folder.mkdir(parents=True, exist_ok=True)
        writing = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        try:
            _write(writing / WEIGHTS_FILE, content)
            _write(writing / CONFIG_FILE, text.encode())
            writing.chmod(0o755)  # mkdtemp's 0700 would hide it from a server under another account
            return _publish(writing, folder)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise

    def _available(self) -> dict[str, tuple[int, ...]]:
        if self.path.is_file():
            raise ModelLoadError(self.path, "is a file, not a registry", _LAYOUT_REMEDY)
        try:
            entries = sorted(entry.name for entry in self.path.iterdir())
            available = {name: self.versions(name) for name in entries}
        except FileNotFoundError:
            return {}  # nothing trained yet, or gone: there is no model
        except OSError as error:
            raise ModelLoadError(self.path, f"cannot be read: {error.strerror}") from error
        return {name: versions for name, versions in available.items() if versions}

    @staticmethod
    def _missing_files(folder: Path) -> list[str]:
        return [name for name in (WEIGHTS_FILE, CONFIG_FILE) if not (folder / name).is_file()]

    def _refuse_half_written(self, folder: Path) -> None:
        if missing := self._missing_files(folder):
            reason = f"half-written: {' and '.join(missing)} missing"
            raise ModelLoadError(folder, reason, "finish the copy, or delete the folder")

    def _refuse_bare_weights(self, name: str) -> None:
        folder = self.path / name
        inside = sorted(folder.glob("*.pth")) if folder.is_dir() else []
        for path in [folder, self.path / f"{name}.pth", *inside]:
            if path.is_file() and path.suffix == ".pth":
                raise ModelLoadError(path, "bare weights, not a version", _LAYOUT_REMEDY)
        numbered = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
        for entry in sorted(numbered):
            if re.fullmatch(_VERSION_PATTERN, entry.name):
                self._refuse_half_written(entry)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelLoadError(path, f"cannot be read: {error.strerror}") from error


def _read_config(path: Path) -> ModelConfig:
    try:
        return ModelConfig.from_json(_read(path).decode())
    except (ConfigError, UnicodeDecodeError) as error:
        raise ModelLoadError(path, str(error), "restore it, or retrain the model") from error


def _unpickle(content: bytes, path: Path) -> Mapping[str, Tensor]:
    remedy = "write it with Registry.save; anything but a dictionary of tensors is refused"
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the unpickler raise anything
        first_line = str(error).strip().split("\n")[0]
        raise ModelLoadError(path, f"is not a file of plain tensors: {first_line}", remedy) from error
    pairs = state.items() if isinstance(state, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in pairs):
        raise ModelLoadError(path, "does not hold a state dictionary", remedy)
    return dict(pairs)


def _build(config: ModelConfig, state: Mapping[str, Tensor], path: Path) -> HybridNetwork:
    """A network of its own with these weights, in evaluation mode, checked against `config`."""
    remedy = "weights and config are of different models: restore the pair"
    network = HybridNetwork(config.network)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).split("\n")[1:4]]
        raise ModelLoadError(path, f"does not fit {CONFIG_FILE}: {' '.join(lines)}", remedy) from error
    for name, tensor in network.state_dict().items():
        if state[name].dtype != tensor.dtype:
            raise ModelLoadError(path, f"{name} is {state[name].dtype}, not {tensor.dtype}", remedy)
        if not bool(torch.isfinite(tensor).all()):
            raise ModelLoadError(path, f"{name} holds non-finite numbers", "restore or retrain it")
    if not _has_normalisation(network, config.feature_normalisation, config.target_normalisation):
        raise ModelLoadError(path, f"its normalisation is not that of {CONFIG_FILE}", remedy)
    return network.eval().requires_grad_(False)


def _has_normalisation(network: HybridNetwork, features: Normalisation, targets: Normalisation) -> bool:
    expected = (
        (network.feature_mean, features.mean),
        (network.feature_deviation, features.standard_deviation),
        (network.feature_clip, (features.clip,)),
        (network.target_mean, targets.mean),
        (network.target_deviation, targets.standard_deviation),
    )
    return all(torch.equal(buffer.reshape(-1), torch.tensor(values)) for buffer, values in expected)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a rename may reach the disk before the content it names


def _publish(writing: Path, folder: Path) -> int:
    """Rename `writing` to the next free version; another writer taking that number only makes it the one after."""
    taken = [int(entry.name) for entry in folder.iterdir() if re.fullmatch(_VERSION_PATTERN, entry.name)]
    version = max(taken, default=0) + 1
    while True:
        try:
            writing.rename(folder / str(version))
        except OSError:
            if not (folder / str(version)).exists():
                raise
            version += 1
        else:
            return version

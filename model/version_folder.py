"""One version's folder, `{model.pth, config.json}` and perhaps `golden.npy`: read whole, written atomically.

Owns the files' names and what makes a folder complete. Knows no model names and does not choose versions.
"""

import dataclasses
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError, ModelLoadError
from model.golden_file import GOLDEN_FILE, read_golden
from model.model_config import ModelConfig
from model.weights_file import MAX_WEIGHTS_BYTES, hash_of, read_bounded

WEIGHTS_FILE: Final = "model.pth"
CONFIG_FILE: Final = "config.json"
VERSION_PATTERN: Final = r"[1-9][0-9]{0,17}"  # fits the contract's int64
# A long training run's history takes some hundred KB.
_MAX_CONFIG_BYTES: Final = 4 * 1024**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionFiles:
    """A version's files in memory, each what its hash says.

    Attributes:
        weights: The bytes of `model.pth`.
        config: Its `sha256` is that of `weights`.
        golden: Read-only [n >= 256, f, t]; None if the version brings none.
    """

    weights: bytes
    config: ModelConfig
    golden: NDArray[np.float32] | None


def missing_files(folder: Path) -> list[str]:
    """Which of the two files that make a version are not there; a link that leads nowhere is not there."""
    return [name for name in (WEIGHTS_FILE, CONFIG_FILE) if not (folder / name).is_file()]


def read_config(path: Path) -> ModelConfig:
    """Read a config.json.

    Raises:
        ModelLoadError: It is unreadable, or wrong in a field that the message names.
    """
    try:
        return ModelConfig.from_json(read_bounded(path, _MAX_CONFIG_BYTES).decode())
    except (ConfigError, UnicodeDecodeError) as error:
        raise ModelLoadError(path, str(error), "restore it, or retrain the model") from error


def read_version(folder: Path) -> VersionFiles:
    """Read and verify a version's files; nothing of the weights is unpickled yet.

    Raises:
        ModelLoadError: A file is missing, unreadable, too large, wrong, or not what its hash says.
    """
    config = read_config(folder / CONFIG_FILE)
    weights = read_bounded(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)  # once: what is hashed is what is unpickled
    sha256 = hash_of(weights)
    if sha256 != config.sha256:
        reason = f"sha256 is {sha256}, {CONFIG_FILE} says {config.sha256 or 'nothing'}"
        remedy = "the file is damaged or was replaced: restore or retrain it"
        raise ModelLoadError(folder / WEIGHTS_FILE, reason, remedy)
    return VersionFiles(weights=weights, config=config, golden=read_golden(folder / GOLDEN_FILE, config))


def write_version(folder: Path, *, weights: bytes, config: ModelConfig, golden: bytes | None) -> int:
    """Write a version into a model's folder and give its number, one above the highest there.

    Args:
        folder: The model's; made if it is not there.
        weights: Of `model.pth`.
        config: The hashes in it are replaced by those of the files.
        golden: Of `golden.npy`; None for no such file.

    Raises:
        OSError: The disk refuses; nothing is left behind.
    """
    golden_sha256 = "" if golden is None else hash_of(golden)
    config = dataclasses.replace(config, sha256=hash_of(weights), golden_sha256=golden_sha256)
    text = config.to_json()

    folder.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        _write(writing / WEIGHTS_FILE, weights)
        if golden is not None:
            _write(writing / GOLDEN_FILE, golden)
        _write(writing / CONFIG_FILE, text.encode())
        writing.chmod(0o755)  # mkdtemp's 0700 would hide it from a server under another account
        return _publish(writing, folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise


def version_numbers(folder: Path) -> list[int]:
    """The numbers in a model's folder, complete versions or not, ascending."""
    return sorted(int(entry.name) for entry in folder.iterdir() if re.fullmatch(VERSION_PATTERN, entry.name))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a rename may reach the disk before the content it names


def _publish(writing: Path, folder: Path) -> int:
    """Rename `writing` to the next free version; another writer taking that number only makes it the one after."""
    version = max(version_numbers(folder), default=0) + 1
    while True:
        try:
            writing.rename(folder / str(version))
        except OSError:
            if not os.path.lexists(folder / str(version)):
                raise
            version += 1
        else:
            return version

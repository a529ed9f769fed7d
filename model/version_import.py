"""Content from elsewhere becomes a model's next version, once. Knows neither where it came from nor model names.

Several replicas may find the same content at the same moment: a lock beside the versions lets one of them write it. The
lock is a courtesy between our own processes: where the file system has none, content may be imported twice, no worse.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from model.errors import ModelLoadError
from model.golden_file import GOLDEN_FILE, golden_bytes
from model.model_config import ModelConfig
from model.version_folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    VersionFiles,
    missing_files,
    read_config,
    version_numbers,
    write_version,
)
from model.weights_file import build_network, hash_of, read_state

CONFIG_REMEDY: Final = "write it as `tickserve train` writes it; docs/operations.md, Registry, lists the fields"
LOCK_FILE: Final = ".import-lock"
# To write a version takes a fraction of a second; who holds the lock for longer has been stopped.
_LONGEST_WAIT: Final = 10.0
_POLL: Final = 0.05


def find_version(folder: Path, sha256: str) -> int | None:
    """The highest complete version in a model's folder whose weights have this hash."""
    if not folder.is_dir():
        return None
    for number in reversed(version_numbers(folder)):
        place = folder / str(number)
        # A version that cannot be read is not the one looked for; whoever loads it is told what is wrong with it.
        with suppress(ModelLoadError):
            if not missing_files(place) and read_config(place / CONFIG_FILE).sha256 == sha256:
                return number
    return None


def read_foreign_config(path: Path, weights_path: Path, sha256: str) -> ModelConfig:
    """Read a config.json that may have been written by hand: it need not say the weights' hash.

    Raises:
        ModelLoadError: It is unreadable or wrong; or it says a hash, and it is not `sha256`.
    """
    try:
        config = read_config(path)
    except ModelLoadError as error:
        raise ModelLoadError(error.path, error.reason, CONFIG_REMEDY) from error
    if config.sha256 not in ("", sha256):
        reason = f"sha256 is {sha256}, {path.name} says {config.sha256}"
        raise ModelLoadError(weights_path, reason, "restore the pair, or finish the copy")
    return config


def verify(stored: VersionFiles, source: Path) -> bytes | None:
    """Check that weights, config and windows are one model; give the bytes of `golden.npy`, if there is one.

    Raises:
        ModelLoadError: They are not; names `source` or the golden windows beside it.
    """
    build_network(stored.config, read_state(stored.weights, source), source)
    return None if stored.golden is None else golden_bytes(stored.golden, stored.config, source.parent / GOLDEN_FILE)


def import_version(folder: Path, stored: VersionFiles, source: Path, *, golden: bytes | None) -> int:
    """Write verified content as the next version of the model in `folder`, or find the version that has it.

    Args:
        folder: The model's.
        stored: The content; its config's hashes are replaced by those of the files.
        source: The weights it was read from, for errors.
        golden: What `verify` gave.

    Raises:
        ModelLoadError: The folder cannot be written; names `source` and the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            there = find_version(folder, hash_of(stored.weights))
            return there or write_version(folder, weights=stored.weights, config=stored.config, golden=golden)
    except OSError as error:
        raise _unwritable(folder, source, error.strerror or str(error)) from error


def _unwritable(folder: Path, source: Path, why: str) -> ModelLoadError:
    reason = f"cannot be imported into {folder}: {why}"
    numbered = f"{folder}/<next number>/{{{WEIGHTS_FILE}, {CONFIG_FILE}}}"
    return ModelLoadError(source, reason, f"make the folder writable, or copy it to {numbered} where it is")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + _LONGEST_WAIT
        while not _try_lock(descriptor) and time.monotonic() < deadline:
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # which gives the lock back


def _try_lock(descriptor: int) -> bool:
    """Whether there is nothing more to wait for: the lock is ours, or this file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

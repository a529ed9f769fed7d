"""A literal `<registry>/<name>/latest/` folder, in which the service that tickserve replaces kept its newest model.

Its content is imported as the next version, once; from then on it is a version like any other, and what the folder
holds next becomes the one after. It is looked at whenever somebody asks for the latest version, so it remembers what it
has seen by the files' identity and reads them again only when they change.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from model.errors import ModelLoadError
from model.golden_file import GOLDEN_FILE, read_golden
from model.version_folder import CONFIG_FILE, WEIGHTS_FILE, VersionFiles, missing_files
from model.version_import import find_version, import_version, read_foreign_config, verify
from model.weights_file import MAX_WEIGHTS_BYTES, hash_of, read_bounded

LATEST: Final = "latest"
_REMEDY: Final = "finish the copy, or delete it: without it the highest number is the latest"

# Of each file: device, inode, size and time of the last change; None where it is not there.
_Identity = tuple[tuple[int, int, int, int] | None, ...]


class LatestFolder:
    """The `latest/` folder of one model.

    Args:
        folder: The model's, which has the versions beside `latest/`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LATEST
        self._identity: _Identity | None = None
        self._outcome: int | ModelLoadError = 0

    def version(self, known: Sequence[int]) -> int:
        """The version with the folder's content, imported if there was none.

        Args:
            known: The model's complete versions; one that was imported and is gone is imported anew.

        Raises:
            ModelLoadError: The folder is not a sound version, or the registry cannot be written.
            OSError: The folder cannot be looked at.
        """
        identity = tuple(_identity(self._path / name) for name in (WEIGHTS_FILE, CONFIG_FILE, GOLDEN_FILE))
        outcome = self._outcome
        if identity != self._identity or not (isinstance(outcome, ModelLoadError) or outcome in known):
            outcome = self._outcome = self._read()
            self._identity = identity  # of before the reading: a change meanwhile is read at the next look
        if isinstance(outcome, ModelLoadError):
            # Made anew each time: an exception that is raised again grows by a traceback.
            raise ModelLoadError(outcome.path, outcome.reason, outcome.remedy)
        return outcome

    def _read(self) -> int | ModelLoadError:
        """The version, or why the content is none; that the registry cannot be written is raised, and tried again."""
        if missing := missing_files(self._path):
            return ModelLoadError(self._path, f"half-written: {' and '.join(missing)} missing", _REMEDY)
        weights_path = self._path / WEIGHTS_FILE
        try:
            weights = read_bounded(weights_path, MAX_WEIGHTS_BYTES)
            sha256 = hash_of(weights)
            config = read_foreign_config(self._path / CONFIG_FILE, weights_path, sha256)
            if there := find_version(self._folder, sha256):
                return there
            windows = read_golden(self._path / GOLDEN_FILE, config)
            stored = VersionFiles(weights=weights, config=config, golden=windows)
            golden = verify(stored, weights_path)
        except ModelLoadError as error:
            return error
        return import_version(self._folder, stored, weights_path, golden=golden)


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

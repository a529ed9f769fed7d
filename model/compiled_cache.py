"""What was compiled of a version's weights, kept on disk: `<path>/<weights sha256>/<kind>-<key>/` with a manifest.

Owns the folder's form, its checks and its bound. Knows nothing of what the files hold. A cache never fails its caller:
whatever is wrong with the disk costs the time of compiling again, and a line in the log.

What is kept is code, or as good as code. So the folder must be ours alone to write, and every file must be what its
manifest says: that guards against damage, not against somebody who can write here.
"""

import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger("tickserve")

DEFAULT_MAX_BYTES: Final = 2 * 1024**3
_FORMAT: Final = 1  # of this folder; another one finds nothing of this
_MANIFEST: Final = "manifest.json"
_WRITING: Final = ".writing-"
_ABANDONED_AFTER: Final = 3600.0  # seconds after which a half-written folder is a dead process's


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """Names one artifact.

    Attributes:
        weights_sha256: 64 hex digits of the weights that it was made of.
        kind: What it is, for people; letters, digits and hyphens.
        details: All else that decides its bytes, for people to read in the manifest.
    """

    weights_sha256: str
    kind: str
    details: tuple[str, ...]

    @property
    def folder_name(self) -> str:
        """Kind and a hash of the details."""
        text = json.dumps([_FORMAT, *self.details])
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class CompiledCache:
    """A cache folder. Any number of threads and processes may share it.

    Args:
        path: The folder; made, for this user alone, when something is first written.
        max_bytes: Of all entries; beyond it those unused for longest are removed.
    """

    def __init__(self, path: Path | str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.path = Path(path).expanduser()
        self._max_bytes = max_bytes

    def read(self, key: ArtifactKey) -> dict[str, bytes] | None:
        """The files of an artifact, by name; None if there is none, or none to be trusted."""
        folder = self._folder(key)
        try:
            if not folder.is_dir() or not self._is_ours():
                return None
            files = _read_entry(folder)
        except (OSError, ValueError) as error:
            logger.warning("%s: %s; it is removed and made again", folder, error)
            self.discard(key)
            return None
        with suppress(OSError):  # of a cache that is for reading only
            os.utime(folder)  # was used
        return files

    def write(self, key: ArtifactKey, files: Mapping[str, bytes]) -> bool:
        """Keep the files of an artifact, all or none; tells whether they are there now."""
        folder = self._folder(key)
        try:
            self._make()
            if not self._is_ours():
                return False
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            writing = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder.parent))
            try:
                _write_entry(writing, key, files)
                writing.rename(folder)
            except BaseException:
                shutil.rmtree(writing, ignore_errors=True)
                raise
        except OSError as error:
            if folder.is_dir():  # another process was faster; its bytes are as good
                return True
            logger.warning("%s: nothing is kept: %s; free space there or make it writable", self.path, error)
            return False
        self._remove_oldest(kept=folder)
        return True

    def discard(self, key: ArtifactKey) -> None:
        """Remove an artifact, if it is there."""
        shutil.rmtree(self._folder(key), ignore_errors=True)

    def _folder(self, key: ArtifactKey) -> Path:
        return self.path / key.weights_sha256 / key.folder_name

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)

    def _is_ours(self) -> bool:
        """Whether nobody else can have written here; logged if not."""
        try:
            status = self.path.stat()
        except OSError as error:
            logger.warning("%s cannot be used: %s", self.path, error)
            return False
        if status.st_uid != os.geteuid():
            problem = f"belongs to user {status.st_uid}"
        elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            problem = "can be written by others"
        else:
            return True
        logger.warning("%s is not used, for it %s: give a folder of mode 0700 of one's own", self.path, problem)
        return False

    def _remove_oldest(self, *, kept: Path) -> None:
        """Brings the total under its bound, and clears away what dead processes left half-written."""
        entries = []
        for folder in self.path.glob("*/*"):
            try:
                status = folder.stat()
                size = sum(file.stat().st_size for file in folder.iterdir())
            except OSError:
                continue  # somebody else removes it, too
            if not folder.name.startswith("."):
                entries.append((status.st_mtime, size, folder))
            elif time.time() - status.st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
        total = sum(size for _, size, _ in entries)
        for _, size, folder in sorted(entries):
            if total <= self._max_bytes:
                return
            if folder != kept:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size


def _write_entry(folder: Path, key: ArtifactKey, files: Mapping[str, bytes]) -> None:
    # Without fsync: should a crash leave a file short, its hash tells.
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"kind": key.kind, "details": key.details, "files": hashes}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _read_entry(folder: Path) -> dict[str, bytes]:
    """The files, each read once: what is hashed is what is used.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: A file is not what the manifest says, or is not in it.
    """
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    hashes = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(hashes, dict):
        raise ValueError("its manifest is not one of ours")
    found = {path.name for path in folder.iterdir()}
    if found != {_MANIFEST, *hashes}:
        raise ValueError(f"holds {sorted(found)}, its manifest says {sorted(hashes)}")
    files = {}
    for name, sha256 in hashes.items():
        files[name] = (folder / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise ValueError(f"{name} is damaged")
    return files

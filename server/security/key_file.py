"""The file that API keys are kept in: JSON, for its user alone, replaced as a whole. Owns its form and its writing.

A Kubernetes secret serves as well: links are followed, and nothing is written unless a command asks for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from batching import PriorityClass
from server.grant import Grant, RateLimit
from server.security.api_key import ALL_METHODS, ID_PATTERN, ApiKey, Keys

_LARGEST = 16 * 1024 * 1024

KeyId = Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")]
ClassName = Literal["real_time", "standard", "background"]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class KeyFileError(Exception):
    """The file cannot be read or written, or is not one of keys. The message names it and the remedy; no secrets."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RateDocument(_Strict):
    rate: _Rate
    burst: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class _KeyDocument(_Strict):
    id: KeyId
    name: str = Field(default="", max_length=200)
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    owner: KeyId | None = None
    methods: Annotated[tuple[Annotated[str, Field(pattern=r"^(\*|[A-Za-z]{1,64})$")], ...], Field(min_length=1)] = (
        ALL_METHODS,
    )
    max_priority: ClassName = "real_time"
    rate_limits: dict[ClassName, _RateDocument] = {}
    max_streams: Annotated[int, Field(ge=0)] = 0
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class _FileDocument(_Strict):
    version: Literal[1]
    keys: tuple[_KeyDocument, ...]

    @model_validator(mode="after")
    def _ids_differ(self) -> _FileDocument:
        ids = [key.id for key in self.keys]
        if len(set(ids)) < len(ids):
            raise ValueError("two keys have the same id")
        return self


def read_keys(path: Path) -> dict[str, ApiKey]:
    """Returns the keys of a file.

    Raises:
        KeyFileError: It cannot be read, is no such file, or others could write it.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_mode & stat.S_IWOTH:
                raise KeyFileError(f"{path} can be written by anybody on this machine; run chmod o-w on it.")
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be read ({error.strerror}); correct the path, or make it with `tickserve keys add`."
        ) from None
    if len(data) > _LARGEST:
        raise KeyFileError(f"{path} is larger than any file of keys.")
    return parse_keys(data, where=str(path))


def parse_keys(data: bytes, *, where: str) -> dict[str, ApiKey]:
    """Returns the keys that a file's bytes hold.

    Raises:
        KeyFileError: They are no such file; `where` names it.
    """
    try:
        document = _FileDocument.model_validate_json(data)
    except ValidationError as error:
        # Where and what, but no value: what stands there may be a key that somebody has put in by mistake.
        found = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_context=False, include_url=False)[:3]
        )
        raise KeyFileError(f"{where} is not a file of API keys: {found}.") from None
    return {key.id: _read(key) for key in document.keys}


def render_keys(keys: Keys) -> bytes:
    """Returns the bytes of a file that holds the keys; `parse_keys` gives the same back."""
    document = _FileDocument(version=1, keys=tuple(_write(key) for key in keys.values()))
    return document.model_dump_json(indent=2).encode() + b"\n"


def write_keys(path: Path, keys: Keys) -> None:
    """Replaces the file as a whole: who reads it meanwhile has the former keys or the new ones, never a part.

    Raises:
        KeyFileError: It cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        # Made by mkstemp: its user alone may read and write it, and that is how it stays.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                if path.exists():
                    # The service may read it by its group, under another user than who manages the keys.
                    former = path.stat()
                    os.fchown(descriptor, former.st_uid, former.st_gid)
                    os.fchmod(descriptor, former.st_mode & 0o640)
                file.write(render_keys(keys))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def changing(path: Path) -> Iterator[dict[str, ApiKey]]:
    """Yields the file's keys to be changed, and writes them; two at a time wait for each other. No file: no keys.

    Raises:
        KeyFileError: It cannot be read or written.
    """
    try:
        folder = os.open(os.path.realpath(path.parent), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyFileError(f"{path.parent} is no folder that can be used: {error.strerror}.") from None
    try:
        # The folder, because the file itself is another one after each change.
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else {}
        yield keys
        write_keys(path, keys)
    finally:
        os.close(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(key: _KeyDocument) -> ApiKey:
    return ApiKey(
        sha256=bytes.fromhex(key.sha256),
        grant=Grant(
            key_id=key.id,
            owner=key.owner or key.id,
            max_priority=PriorityClass[key.max_priority.upper()],
            rate_limits={
                PriorityClass[name.upper()]: RateLimit(rate=limit.rate, burst=limit.burst)
                for name, limit in key.rate_limits.items()
            },
            max_streams=key.max_streams,
        ),
        methods=frozenset(key.methods),
        name=key.name,
        created_at=key.created_at.timestamp(),
        expires_at=None if key.expires_at is None else key.expires_at.timestamp(),
    )


def _write(key: ApiKey) -> _KeyDocument:
    grant = key.grant
    values = {
        "id": key.id,
        "name": key.name,
        "sha256": key.sha256.hex(),
        "owner": None if grant.owner == key.id else grant.owner,
        "methods": sorted(key.methods),
        "max_priority": grant.max_priority.name.lower(),
        "rate_limits": {
            priority.name.lower(): {"rate": limit.rate, "burst": limit.burst}
            for priority, limit in sorted(grant.rate_limits.items())
        },
        "max_streams": grant.max_streams,
        "created_at": datetime.fromtimestamp(key.created_at, UTC),
        "expires_at": None if key.expires_at is None else datetime.fromtimestamp(key.expires_at, UTC),
    }
    return _KeyDocument.model_validate(values)

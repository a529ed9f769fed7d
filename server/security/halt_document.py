"""Halts as JSON, as stores keep them. Owns the form and its checks; a document that is not whole is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.security.halt import Halt, HaltScope, ScopeKind
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStoreError

KindName = Literal["everything", "model", "symbol", "key"]


class _HaltDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: KindName
    name: Annotated[str, Field(max_length=128)] = ""
    version: Annotated[int, Field(ge=0)] = 0
    reason: Annotated[str, Field(max_length=256)] = ""
    author: Annotated[str, Field(max_length=128)] = ""
    halted_at: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _FileDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    generation: Annotated[int, Field(ge=0)]
    halts: tuple[_HaltDocument, ...]


def render_halt(halt: Halt) -> str:
    """Returns one halt as JSON; `parse_halt` gives the same back."""
    return _write(halt).model_dump_json()


def parse_halt(data: str | bytes) -> Halt:
    """Reads one halt.

    Raises:
        HaltStoreError: It is none.
    """
    try:
        return _read(_HaltDocument.model_validate_json(data))
    except ValueError:
        raise HaltStoreError("an entry is not a halt") from None


def render_halts(halts: HaltSet) -> bytes:
    """Returns the bytes of a file; `parse_halts` gives the same back."""
    document = _FileDocument(version=1, generation=halts.generation, halts=tuple(_write(halt) for halt in halts))
    return document.model_dump_json(indent=2).encode() + b"\n"


def parse_halts(data: bytes) -> HaltSet:
    """Reads a file.

    Raises:
        HaltStoreError: It is no file of halts.
    """
    try:
        document = _FileDocument.model_validate_json(data)
        halts = [_read(entry) for entry in document.halts]
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise HaltStoreError(f"not a file of halts: {where}: {first['msg']}") from None
    except ValueError as error:
        raise HaltStoreError(f"not a file of halts: {error}") from None
    return HaltSet({halt.scope: halt for halt in halts}, document.generation)


def _write(halt: Halt) -> _HaltDocument:
    scope = halt.scope
    values = {
        "kind": scope.kind.name.lower(),
        "name": scope.name,
        "version": scope.version,
        "reason": halt.reason,
        "author": halt.author,
        "halted_at": halt.halted_at,
    }
    return _HaltDocument.model_validate(values)


def _read(entry: _HaltDocument) -> Halt:
    scope = HaltScope(ScopeKind[entry.kind.upper()], entry.name, entry.version)
    return Halt(scope=scope, reason=entry.reason, author=entry.author, halted_at=entry.halted_at)

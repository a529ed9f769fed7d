"""What is halted, as frozen values, and the requests that halt and resume; shared by the sync and the async client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from tickserve.request import ModelLike, model_reference
from tickserve.v1 import halt_pb2, halt_service_pb2
from tickserve.wire import from_timestamp

__all__ = ("ActiveHalt", "HaltList", "HaltTarget", "halt_scope")


class HaltTarget(TypedDict, total=False):
    """What is halted or resumed: one of these, or everything where none is given."""

    model: ModelLike
    """A model: all versions, or the one that is named."""
    symbol: str | None
    """A symbol whose window the service keeps, of all owners."""
    key_id: str | None
    """The id of an API key; its open streams end."""


@dataclass(frozen=True, slots=True)
class ActiveHalt:
    """A halt in force."""

    scope: str
    """What it stops: `everything`, `model NAME`, `model NAME:VERSION`, `symbol NAME` or `key ID`."""
    reason: str
    """Why, in the words of who asked for it; may be empty."""
    author: str
    """Who asked for it: the id of the API key, or `anonymous`."""
    since: datetime
    """When it began."""

    @classmethod
    def from_proto(cls, message: halt_pb2.ActiveHalt) -> ActiveHalt:
        """Reads the contract's message."""
        return cls(_scope_text(message.scope), message.reason, message.author, from_timestamp(message.halt_time))


@dataclass(frozen=True, slots=True)
class HaltList:
    """The halts that the answering replica obeys."""

    halts: tuple[ActiveHalt, ...]
    """Oldest first."""
    stale: bool
    """Whether it cannot read their store now, and obeys what it read last."""
    closed: bool
    """Whether it has never read it, and refuses every prediction."""

    @classmethod
    def from_proto(cls, message: halt_service_pb2.ListHaltsResponse) -> HaltList:
        """Reads the contract's message."""
        return cls(tuple(map(ActiveHalt.from_proto, message.halts)), message.stale, message.closed)


def halt_scope(model: ModelLike = None, symbol: str | None = None, key_id: str | None = None) -> halt_pb2.HaltScope:
    """Gives the scope on the wire; of nothing at all, everything.

    Raises:
        ValueError: More than one is given, or one is empty: that must not stop everything.
    """
    given = [value for value in (model, symbol, key_id) if value is not None]
    if len(given) > 1:
        raise ValueError("give one of model, symbol and key_id, or none of them for everything")
    if "" in given:
        raise ValueError("an empty name names nothing; leave it out to mean everything")
    if model is not None:
        return halt_pb2.HaltScope(model=model_reference(model))
    if symbol is not None:
        return halt_pb2.HaltScope(symbol=symbol)
    if key_id is not None:
        return halt_pb2.HaltScope(key_id=key_id)
    return halt_pb2.HaltScope(everything=True)


def _scope_text(scope: halt_pb2.HaltScope) -> str:
    match scope.WhichOneof("scope"):
        case "model":
            return f"model {scope.model.name}" + (f":{scope.model.version}" if scope.model.version else "")
        case "symbol":
            return f"symbol {scope.symbol}"
        case "key_id":
            return f"key {scope.key_id}"
    return "everything"

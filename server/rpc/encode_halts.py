"""Halts to protobuf messages, and the scopes of requests to halts."""

from __future__ import annotations

import re

from server.refusal import Reason, Refusal
from server.security.api_key import is_key_id
from server.security.halt import EVERYTHING, Halt, HaltScope, ScopeKind
from tickserve.v1 import halt_pb2
from tickserve.v1.prediction_pb2 import ModelReference
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse
from tickserve.v1.tick_pb2 import TickHalt

MAX_REASON = 256
# As symbols of tick streams, and models of the registry, may look.
_SYMBOL = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
_MODEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


def write_halt(halt: Halt) -> halt_pb2.ActiveHalt:
    """Returns a halt as messages tell it."""
    message = halt_pb2.ActiveHalt(scope=write_scope(halt.scope), reason=halt.reason, author=halt.author)
    message.halt_time.FromNanoseconds(round(halt.halted_at * 1e9))
    return message


def write_scope(scope: HaltScope) -> halt_pb2.HaltScope:
    """Returns a scope as messages tell it; `read_scope` gives the same back."""
    match scope.kind:
        case ScopeKind.EVERYTHING:
            return halt_pb2.HaltScope(everything=True)
        case ScopeKind.MODEL:
            return halt_pb2.HaltScope(model=ModelReference(name=scope.name, version=scope.version))
        case ScopeKind.SYMBOL:
            return halt_pb2.HaltScope(symbol=scope.name)
        case ScopeKind.KEY:
            return halt_pb2.HaltScope(key_id=scope.name)


def write_tick_halt(halt: Halt, symbol: str, *, resumed: bool) -> StreamTicksResponse:
    """Returns what a tick stream is told of a halt that begins or ends; an empty symbol: it is about all of them."""
    return StreamTicksResponse(halt=TickHalt(symbol=symbol, halt=write_halt(halt), resumed=resumed))


def read_scope(message: halt_pb2.HaltScope) -> HaltScope:
    """Reads a scope. It need not exist yet: what is to come can be halted beforehand.

    Raises:
        Refusal: MISSING_INPUT, or a name that nothing can have.
    """
    match message.WhichOneof("scope"):
        case "everything" if message.everything:
            return EVERYTHING
        case "model":
            model = message.model
            if _MODEL.fullmatch(model.name) is None or model.version < 0:
                raise Refusal(
                    Reason.MALFORMED_MESSAGE, "Name a model, and a version or 0 for all of them.", field="scope.model"
                )
            return HaltScope(ScopeKind.MODEL, model.name, model.version)
        case "symbol":
            if _SYMBOL.fullmatch(message.symbol) is None:
                raise Refusal(Reason.INVALID_SYMBOL, "No symbol can have this name.", field="scope.symbol")
            return HaltScope(ScopeKind.SYMBOL, message.symbol)
        case "key_id":
            if not is_key_id(message.key_id):
                raise Refusal(Reason.MALFORMED_MESSAGE, "No API key can have this id.", field="scope.key_id")
            return HaltScope(ScopeKind.KEY, message.key_id)
    raise Refusal(Reason.MISSING_INPUT, "Set scope: everything, a model, a symbol or a key_id.", field="scope")


def read_reason(text: str) -> str:
    """Reads the words of who halts or resumes.

    Raises:
        Refusal: LIMIT_EXCEEDED.
    """
    if len(text) > MAX_REASON:
        raise Refusal(
            Reason.LIMIT_EXCEEDED,
            f"A reason has at most {MAX_REASON} characters; say it shorter.",
            field="reason",
            metadata={"limit": str(MAX_REASON), "have": str(len(text))},
        )
    return text

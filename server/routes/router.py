"""Which arm a routing key belongs to. Pure: a hash and a comparison; knows no models, clocks or requests.

Each model cuts the line from 0 to 1 at `percent` / 100; a key has one place on that line for good. So a key always
meets the same arm, and raising the percentage moves keys to the candidate and none back. The model's name is part of
what is hashed: who meets the candidate of one model is no likelier to meet that of the next.
"""

from __future__ import annotations

import enum
import hashlib

from server.call import Call

_SALT = b"tickserve route\0"
_BITS = 53  # what a float holds exactly, so that every place is below 1


class Arm(enum.Enum):
    """A part of a route."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    SHADOW = "shadow"


def place(model: str, key: str) -> float:
    """Returns a routing key's place, in [0, 1), the same in every process and for ever."""
    # Names of models hold no NUL, so no two pairs are hashed alike.
    digest = hashlib.sha256(_SALT + model.encode() + b"\0" + key.encode(errors="surrogatepass")).digest()
    return float(int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / float(1 << _BITS)


def arm_of(model: str, key: str, percent: float) -> Arm:
    """Returns the arm that answers a routing key.

    Args:
        model: Name of the model.
        key: See `routing_key`.
        percent: Part of the keys that the candidate answers, 0 to 100.
    """
    if percent <= 0:
        return Arm.STABLE
    return Arm.CANDIDATE if place(model, key) < percent / 100 else Arm.STABLE


def routing_key(call: Call, *, symbol: str, request_id: str) -> str:
    """Returns whose arm a request follows: the key that the caller sent; else the caller with the symbol; else its id.

    Args:
        call: The RPC.
        symbol: Symbol, or symbols, that the request is about; empty where it sends its own window.
        request_id: The caller's name for the request; may be empty.

    Returns:
        The key; empty if the request says nothing of itself.
    """
    if call.routing_key:
        return call.routing_key
    if call.caller and symbol:
        return f"{call.caller}\0{symbol}"
    return request_id or symbol

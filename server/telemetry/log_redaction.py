"""What may stand in a log line: no secrets, no tensors, nothing without end. Pure; knows neither logger nor format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2_000
"""Characters of one value; a traceback may have ten times as many, for it is of use only as a whole."""
MAX_ITEMS: Final = 32
_MAX_DEPTH: Final = 4

# Parts of names whose value is a secret whatever it looks like: `x-api-key`, `grpc_metadata`, `redis_password`.
_SECRET_NAMES: Final = re.compile(
    r"authorization|api[-_]?key|passw|secret|token|cookie|credential|private[-_]?key|headers?$|metadata$", re.IGNORECASE
)
# The id of a key names it and opens nothing.
_HARMLESS_NAMES: Final = frozenset({"api_key_id", "key_id"})
_URL_PASSWORD: Final = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/]+(?=@)", re.IGNORECASE)
# A key of ours wherever it stands, and a part of one, for the text may have been cut in its middle.
_KEY: Final = re.compile(r"(?P<head>tsk_)[\w.-]+", re.ASCII)
_BEARER: Final = re.compile(r"\b(?P<head>bearer)\s+[\w.~+/=-]{4,}", re.IGNORECASE)
# As in `x-api-key: v`, `{'x-api-key': 'v'}`, `('x-api-key', 'v')` and `key='x-api-key', value='v'`.
_ASSIGNED: Final = re.compile(
    r"(?P<head>\b(?:proxy-)?(?:authorization|x-api-key|api[-_]?key|password|secret|token)\b"
    r"(?:['\"]\s*,\s*(?:value\s*=\s*)?(?=b?['\"])|['\"]?\s*[:=]\s*)(?:b?['\"])?)"
    r"(?!\[redacted\])(?:(?:bearer|basic)\s+)?[^\s'\",;)}\]]+",
    re.IGNORECASE,
)
_KEPT: Final = (bool, int, float, type(None))


def is_secret(name: str) -> bool:
    """Tells whether a value of this name must never be logged."""
    return name not in _HARMLESS_NAMES and _SECRET_NAMES.search(name) is not None


def redact_text(text: str, *, limit: int = MAX_TEXT) -> str:
    """Returns a text without passwords, keys and bearer tokens, cut after `limit` characters."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit} characters more)"
    text = _KEY.sub(rf"\g<head>{REDACTED}", text)
    text = _URL_PASSWORD.sub(rf"\g<head>{REDACTED}", text)
    text = _ASSIGNED.sub(rf"\g<head>{REDACTED}", text)
    return _BEARER.sub(rf"\g<head> {REDACTED}", text)


def loggable(value: object, *, depth: int = 0) -> object:
    """Returns what stands for a value in a log: itself if it is plain and small, else its kind and size.

    Arrays, tensors, bytes and messages become their type and shape: they are the callers' data, and large.
    """
    if isinstance(value, _KEPT):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{type(value).__name__} of {len(value)}>"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{type(value).__name__} {list(value.shape)} {value.dtype}>" if value.shape else redact_text(str(value))
    if hasattr(value, "SerializeToString"):
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _loggable_collection(value, depth)
    # An exception, a path, an enum: what it says of itself.
    return redact_text(str(value))


def redact(fields: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields of a line, each fit to be logged."""
    return {name: REDACTED if is_secret(name) else loggable(value) for name, value in fields.items()}


def _loggable_collection(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object], depth: int
) -> object:
    if depth >= _MAX_DEPTH or len(value) > MAX_ITEMS:
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, Mapping):
        return {
            str(name): REDACTED if is_secret(str(name)) else loggable(item, depth=depth + 1)
            for name, item in value.items()
        }
    return [loggable(item, depth=depth + 1) for item in value]

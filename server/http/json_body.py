"""The body of a request as a JSON document: what may come, how large, and when it is given up. Knows no messages.

What is wrong is a `BodyRefusal`, which has an HTTP status of its own beside the domain's reason.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from server.refusal import Reason, Refusal

T = TypeVar("T")

# Where JSON itself ends, programs that write these words mean numbers that no window may hold.
_NOT_A_NUMBER = re.compile(rb"[\[:,\s]-?(?:NaN|Infinity)(?=[\],}\s])")
_OUT_OF_RANGE = "Number out of range"
_MAX_WORDS = 200


class BodyRefusal(Refusal):
    """A refusal of what HTTP carried, before anything in it was looked at.

    Args:
        status: HTTP status.
        reason: See `Refusal`.
        message: See `Refusal`.
        metadata: See `Refusal`.
    """

    def __init__(self, status: int, reason: Reason, message: str, *, metadata: dict[str, str] | None = None) -> None:
        super().__init__(reason, message, metadata=metadata)
        self.status = status


async def read_body(request: Request, *, max_bytes: int, patience: float) -> bytes:
    """Returns a request's body.

    Args:
        request: Whose body was not read yet.
        max_bytes: Most bytes that are read; one that is known to be longer is not read at all.
        patience: Seconds that it may take to arrive.

    Raises:
        BodyRefusal: 415 where it is not said to be JSON, 413 where it is too long, 408 where it does not arrive, 400
            where it ends early.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise BodyRefusal(415, Reason.MALFORMED_MESSAGE, "Send JSON, as Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BodyRefusal(415, Reason.MALFORMED_MESSAGE, "Send the body as it is, without Content-Encoding.")
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and (len(told) > 18 or int(told) > max_bytes):
        raise _too_long(max_bytes)
    try:
        async with asyncio.timeout(patience):
            return await _received(request, max_bytes)
    except TimeoutError:
        raise BodyRefusal(408, Reason.MALFORMED_MESSAGE, f"The body did not arrive within {patience:g} s.") from None


def decoded(data: bytes | msgspec.Raw, kind: type[T], *, strict: bool = True) -> T:
    """Returns a JSON document as a value of some kind.

    Args:
        data: The document.
        kind: Of the value, as msgspec knows kinds.
        strict: Whether "1" is no number.

    Raises:
        Refusal: NON_FINITE_VALUE where a number is none, or too large for one; else MALFORMED_MESSAGE.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=strict)
    except RecursionError:
        raise Refusal(Reason.MALFORMED_MESSAGE, "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        words = str(error)[:_MAX_WORDS]
    if _OUT_OF_RANGE in words:
        raise Refusal(Reason.NON_FINITE_VALUE, "A number is too large; send finite numbers only.")
    if _NOT_A_NUMBER.search(b" " + bytes(data) + b" "):
        raise Refusal(Reason.NON_FINITE_VALUE, "JSON has no NaN or Infinity; send finite numbers only.")
    raise Refusal(Reason.MALFORMED_MESSAGE, f"The body cannot be read: {words}.")


def decoded_object(data: bytes | msgspec.Raw) -> dict[str, Any]:
    """Returns a JSON object; raises as `decoded` does."""
    return decoded(data, dict[str, Any])


async def _received(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BodyRefusal(400, Reason.MALFORMED_MESSAGE, "The body ended early.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_long(max_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_long(max_bytes: int) -> BodyRefusal:
    return BodyRefusal(
        413,
        Reason.LIMIT_EXCEEDED,
        f"At most {max_bytes} bytes are taken in one body; send fewer windows, or rawFloat32.",
        metadata={"limit": str(max_bytes)},
    )

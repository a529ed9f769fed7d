"""What an HTTP body says once its content coding is taken off. Pure."""

from __future__ import annotations

import zlib

from server.migration.original_answers import UnreadableAnswerError

# gzip's header or zlib's, whichever is there; RFC 9110 calls the second one "deflate".
_EITHER_HEADER = zlib.MAX_WBITS | 32


def decoded(body: bytes, coding: str, *, most: int) -> bytes:
    """Returns a body without its coding.

    Args:
        body: As it was sent.
        coding: Of the header Content-Encoding; empty: none.
        most: Bytes that it may grow to: a few of them can stand for gigabytes.

    Raises:
        UnreadableAnswerError: The coding is none of gzip and deflate, the body is damaged, or it is too large.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableAnswerError(f"content coding {name} is not known here")
    reader = zlib.decompressobj(_EITHER_HEADER)
    try:
        plain = reader.decompress(body, most)
    except zlib.error as error:
        raise UnreadableAnswerError("the body does not fit its content coding") from error
    if not reader.eof:
        raise UnreadableAnswerError("the body is cut off, or too large without its content coding")
    return plain

"""A body is read as what it says, and never grows beyond its bound."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.migration.content_coding import decoded
from server.migration.original_answers import UnreadableAnswerError

MOST = 10_000


@given(st.binary(max_size=MOST))
def test_every_known_coding_comes_off(body: bytes) -> None:
    """gzip, deflate, and none."""
    for coding, sent in (
        ("gzip", gzip.compress(body)),
        ("Deflate", zlib.compress(body)),
        ("", body),
        ("identity", body),
    ):
        assert decoded(sent, coding, most=MOST) == body


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"{}", "br"),
        (b"not gzip", "gzip"),
        (gzip.compress(b"cut off")[:-4], "gzip"),
        (gzip.compress(bytes(1_000_000)), "gzip"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, coding: str) -> None:
    """Unknown codings, damage, bodies cut off, and a few bytes that stand for many."""
    with pytest.raises(UnreadableAnswerError):
        decoded(body, coding, most=MOST)

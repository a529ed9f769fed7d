"""Laws of what may be logged: no secret under any name or in any text, no caller's data, nothing without end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.log_redaction import MAX_ITEMS, MAX_TEXT, REDACTED, is_secret, loggable, redact, redact_text
from tests.support import messages

SECRET = "hunter2-Zm9v"


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "x-api-key", "api_key", "apikey", "redis_password", "client_secret", "cookie",
        "auth_token", "headers", "request_headers", "invocation_metadata", "private_key", "grpc-metadata",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    """Whatever its value is, alone and inside of something else."""
    assert redact({name: SECRET}) == {name: REDACTED}
    assert SECRET not in str(redact({"outer": {name: [SECRET], "list": [{name: SECRET}]}}))


@pytest.mark.parametrize("name", ["trace_id", "request_id", "key_id", "api_key_id", "model", "reason", "priority"])
def test_what_names_things_is_no_secret(name: str) -> None:
    """An operator finds the call, and the key by its id."""
    assert not is_secret(name)
    assert redact({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "text",
    [
        f"redis://user:{SECRET}@cache:6379/0 does not answer",
        f"rediss://:{SECRET}@cache",
        f"redis+sentinel://user:{SECRET}@one:26379,two:26379/windows/0 has no master",
        f"postgres://u:a@{SECRET}@host/db",
        f"authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}==",
        f"x-api-key={SECRET}",
        f"{{'x-api-key': '{SECRET}', 'user-agent': 'grpc'}}",
        f'{{"api_key": "{SECRET}"}}',
        f"(('authorization', 'Bearer {SECRET}'), ('te', 'trailers'))",
        f"_Metadatum(key='x-api-key', value='{SECRET}')",
        f"password: {SECRET}",
        f"sent Bearer {SECRET} to the service",
    ],
)
def test_a_secret_is_found_in_a_text(text: str) -> None:
    """As libraries write them in messages and exceptions."""
    assert SECRET not in redact_text(text)
    assert REDACTED in redact_text(text)


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:8000/healthz", "redis://cache:6379/0 does not answer", "no token was found", "key 3 of 7",
     "the metadata of model cnn_lstm version 3", "password rules", "email a@b:c"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    """Addresses and plain sentences are what an operator reads."""
    assert redact_text(text) == text


@pytest.mark.parametrize("cut", [0, 1, 20, 42])
def test_a_key_is_known_by_its_beginning(cut: int) -> None:
    """Wherever it stands, and however much of it."""
    secret = "Zm9v" * 10 + "Zm9"
    key = f"tsk_desk_1_{secret}"[: len(secret) + 11 - cut]
    for text in (key, f"metadata ({key}, 1)", f"GET /?k={key}&x=1", f"{key}... (9 characters more)"):
        assert "Z" not in redact_text(text)
        assert f"tsk_{REDACTED}" in redact_text(text)


def test_redacting_twice_changes_nothing() -> None:
    """A line may pass more than one redactor."""
    once = redact_text(f"authorization: Bearer {SECRET} x-api-key={SECRET} redis://u:{SECRET}@h")
    assert redact_text(once) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.ones((50, 60), np.float32), "<ndarray [50, 60] float32>"),
        (b"1234", "<bytes of 4>"),
        (bytearray(3), "<bytearray of 3>"),
        (messages.predict(), "<PredictRequest>"),
        (list(range(1000)), "<list of 1000>"),
        (dict.fromkeys(range(99)), "<dict of 99>"),
        ([1, (2, {"a": None})], [1, [2, {"a": None}]]),
        (np.float32(0.5), "0.5"),
        (True, True),
    ],
)
def test_data_becomes_its_kind_and_size(value: object, expected: object) -> None:
    """A window is 12 KB and the caller's own; its shape is what helps."""
    assert loggable(value) == expected


def test_a_text_has_an_end() -> None:
    """And says how much of it is missing."""
    text = redact_text("x" * (MAX_TEXT + 7))
    assert text.startswith("x" * MAX_TEXT)
    assert text.endswith("(7 characters more)")


_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=50,
)


@given(_values)
def test_anything_can_be_logged_in_bounded_space(value: object) -> None:
    """No value raises, and no nesting or length makes a line without end."""
    deepest = 4
    assert len(str(loggable(value))) <= (2 * MAX_TEXT + 200) * MAX_ITEMS**deepest


def test_a_ring_has_an_end() -> None:
    """What holds itself is cut off like anything deep."""
    ring: list[object] = []
    ring.append(ring)
    assert "list of 1" in str(loggable(ring))

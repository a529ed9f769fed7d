"""Laws of a key's text: it is split in one way, whatever its id, and nothing but the whole of it opens anything."""

import pytest

from server.security.api_key import ALL_METHODS, ApiKey, digest_of, is_key_id, new_secret, split_token, token_of
from tests.support.doors import made_key


@pytest.mark.parametrize("key_id", ["desk", "a", "desk_1", "desk_", "a-b.c_d", "_".join(["x"] * 32), "9" * 64])
def test_a_token_is_split_into_what_it_was_made_of(key_id: str) -> None:
    """Ids may hold the separator, too: the secret has one length."""
    for _ in range(20):
        secret = new_secret()
        assert split_token(token_of(key_id, secret)) == (key_id, secret)


def test_a_secret_has_256_bits() -> None:
    """43 characters of 6 bits, and never twice the same."""
    secrets = {new_secret() for _ in range(100)}
    assert {len(secret) for secret in secrets} == {43}
    assert len(secrets) == 100


@pytest.mark.parametrize("text", ["", "tsk_", "tsk_a_short", "a", "tsk__" + "A" * 43, "tsk_a_" + "A" * 42 + "="])
def test_what_is_no_token_has_no_id(text: str) -> None:
    """Nor a secret."""
    assert split_token(text) == ("", "")


def test_neither_newline_nor_space_is_part_of_a_token() -> None:
    """A pattern that ends at a line would take one."""
    token, _ = made_key("desk")
    assert all(split_token(text) == ("", "") for text in (token + "\n", token + " ", "\n" + token, token + "\x00"))


@pytest.mark.parametrize(("text", "is_id"), [("a-1", True), ("", False), ("-x", False), ("a b", False), ("x\n", False)])
def test_ids_are_those_that_may_stand_in_a_header(text: str, is_id: bool) -> None:
    """And in a log."""
    assert is_key_id(text) is is_id


def test_a_key_opens_what_it_names_or_all() -> None:
    """Short names, exactly."""
    _, some = made_key("desk", methods=("Predict", "ListModels"))
    _, every = made_key("all", methods=(ALL_METHODS,))
    names = ("Predict", "PredictBatch", "predict", "ListModels")
    assert [some.allows(name) for name in names] == [True, False, False, True]
    assert all(every.allows(name) for name in names)


def test_a_key_ends_at_its_instant() -> None:
    """Not a moment later; one without an end never."""
    _, key = made_key("desk", expires_at=100.0)
    _, lasting = made_key("desk")
    assert [key.is_expired(now) for now in (99.999, 100.0, 101.0)] == [False, True, True]
    assert not lasting.is_expired(1e12)


def test_a_key_knows_the_digest_of_its_secret_alone() -> None:
    """What is kept opens nothing."""
    token, key = made_key("desk")
    _, secret = split_token(token)
    assert key.sha256 == digest_of(secret)
    assert secret not in repr(key)
    assert isinstance(key, ApiKey)

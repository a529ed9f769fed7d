"""Who is believed about a caller: the edge, which knows the secret, and nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.refusal import Reason, Refusal
from server.security.edge_identity import (
    ADDRESS_HEADER,
    IDENTITY_HEADER,
    SECRET_HEADER,
    SECRET_VARIABLE,
    STRIPPED_PREFIXES,
    EdgeSecretError,
    came_through_edge,
    client_address,
    edge_secret,
    identity_from,
    require_edge,
)

SECRET = "f2b9-a-secret-of-this-start"


def test_the_edge_is_believed() -> None:
    """With the secret, the identity and the address are the caller's."""
    metadata = {SECRET_HEADER: SECRET, IDENTITY_HEADER: "desk-1", ADDRESS_HEADER: "198.18.0.7"}
    assert identity_from(metadata, SECRET) == "desk-1"
    assert client_address(metadata, SECRET) == "198.18.0.7"
    require_edge(metadata, SECRET)


def test_without_a_certificate_there_is_no_identity() -> None:
    """The edge says nothing of a caller who shows none; the call came through it all the same."""
    assert identity_from({SECRET_HEADER: SECRET}, SECRET) is None
    assert came_through_edge({SECRET_HEADER: SECRET}, SECRET)


@given(st.one_of(st.text(), st.binary()))
def test_nobody_else_is_believed(said: str | bytes) -> None:
    """Whatever a caller says in the secret's place, his identity is not his to tell."""
    metadata = {SECRET_HEADER: said, IDENTITY_HEADER: "admin", ADDRESS_HEADER: "127.0.0.1"}
    if said not in (SECRET, SECRET.encode()):
        assert identity_from(metadata, SECRET) is None
        assert client_address(metadata, SECRET) is None
        with pytest.raises(Refusal) as caught:
            require_edge(metadata, SECRET)
        assert caught.value.reason is Reason.EDGE_REQUIRED
        assert SECRET not in str(caught.value)


@given(st.integers(0, len(SECRET) - 1), st.characters(codec="ascii"))
def test_one_wrong_character_is_enough(position: int, other: str) -> None:
    """No part of the secret is worth anything."""
    wrong = SECRET[:position] + other + SECRET[position + 1 :]
    assert came_through_edge({SECRET_HEADER: wrong}, SECRET) == (wrong == SECRET)


@pytest.mark.parametrize("said", ["", "anything"])
def test_without_an_edge_nobody_is_believed(said: str) -> None:
    """Where no secret was set, an empty one opens nothing, and calls are served as they come."""
    metadata = {SECRET_HEADER: said, IDENTITY_HEADER: "admin"}
    assert identity_from(metadata, "") is None
    assert not came_through_edge(metadata, "")
    require_edge(metadata, "")
    require_edge({}, "")


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "-flag", "a\n", "a\r\nx: y", "\u00e9"])
def test_a_name_that_is_no_id_names_nobody(name: str) -> None:
    """A common name may hold anything; a key id may not."""
    assert identity_from({SECRET_HEADER: SECRET, IDENTITY_HEADER: name}, SECRET) is None


def test_a_binary_identity_names_nobody() -> None:
    """The edge sets text."""
    assert identity_from({SECRET_HEADER: SECRET, IDENTITY_HEADER: b"desk-1"}, SECRET) is None


def test_all_that_the_edge_says_is_stripped_from_clients() -> None:
    """Each of its headers begins with what it strips."""
    for header in (SECRET_HEADER, IDENTITY_HEADER, ADDRESS_HEADER):
        assert header.startswith(STRIPPED_PREFIXES)


def test_the_secret_comes_by_the_environment() -> None:
    """Its absence is a state of its own: no edge."""
    assert edge_secret({SECRET_VARIABLE: SECRET}, required=True) == SECRET
    assert edge_secret({}, required=False) == ""


@pytest.mark.parametrize(("environment", "required"), [({}, True), ({SECRET_VARIABLE: "guess"}, False)])
def test_an_edge_without_a_proper_secret_is_refused(environment: dict[str, str], required: bool) -> None:
    """The message names the variable, and not what is in it."""
    with pytest.raises(EdgeSecretError, match=SECRET_VARIABLE) as caught:
        edge_secret(environment, required=required)
    assert "guess" not in str(caught.value).replace("guessed", "")

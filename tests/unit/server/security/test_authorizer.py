"""Laws of the door: who shows no valid key is refused, with the reason, and before it is opened everybody is."""

import logging
from pathlib import Path

import pytest

from batching import PriorityClass
from server.refusal import Reason, Refusal
from server.security.authorizer import Admission, Authorizer, shown_token
from server.security.edge_identity import IDENTITY_HEADER, SECRET_HEADER
from server.security.refusal_tally import INTERVAL, RefusalTally
from tests.support.doors import EDGE_SECRET, made_key, open_to, open_to_all, written_keys

EDGE = {SECRET_HEADER: EDGE_SECRET}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys lie."""
    return tmp_path / "keys.json"


def refused(authorizer: Authorizer, method: str = "Predict", **metadata: str) -> Reason:
    """Returns why a call is refused; names use `_` for `-`."""
    with pytest.raises(Refusal) as caught:
        authorizer.admit(method, {name.replace("_", "-"): value for name, value in metadata.items()})
    return caught.value.reason


def test_a_key_is_shown_in_either_way(path: Path) -> None:
    """As a bearer token, whatever the case of the word, or by a name of its own; the caller is the key."""
    [token] = written_keys(path, made_key("desk", owner="house", max_priority=PriorityClass.STANDARD))
    door = open_to(path)
    for metadata in ({"authorization": f"Bearer {token}"}, {"authorization": f"bearer {token}"}, {"x-api-key": token}):
        admission = door.admit("Predict", metadata)
        assert (admission.identity, admission.owner) == ("desk", "house")
        assert admission.grant is not None
        assert admission.grant.max_priority is PriorityClass.STANDARD


def test_without_a_valid_key_nobody_comes_in(path: Path) -> None:
    """Missing, unknown, damaged, another scheme, empty: each is refused with its reason."""
    [token] = written_keys(path, made_key("desk"))
    door = open_to(path)
    assert refused(door) is Reason.API_KEY_MISSING
    assert refused(door, authorization=f"Basic {token}") is Reason.API_KEY_MISSING
    for shown in (token[:-1], token + "A", token.replace("desk", "task"), "", "tsk_desk_", "x" * 10_000):
        assert refused(door, x_api_key=shown) is Reason.API_KEY_INVALID
        assert refused(door, authorization=f"Bearer {shown}") is Reason.API_KEY_INVALID


def test_an_expired_key_opens_nothing(path: Path) -> None:
    """From its instant on, without anybody taking it out of the file."""
    [token] = written_keys(path, made_key("desk", expires_at=100.0))
    now = [99.0]
    door = open_to(path, wall_clock=lambda: now[0])
    assert door.admit("Predict", {"x-api-key": token}).identity == "desk"
    now[0] = 100.0
    assert refused(door, x_api_key=token) is Reason.API_KEY_INVALID


def test_a_key_opens_its_methods_alone(path: Path) -> None:
    """A scraper's key predicts nothing."""
    [token] = written_keys(path, made_key("scraper", methods=("GetStatistics",)))
    door = open_to(path)
    assert door.admit("GetStatistics", {"x-api-key": token}).identity == "scraper"
    assert refused(door, x_api_key=token) is Reason.METHOD_NOT_ALLOWED


def test_a_closed_door_lets_nobody_in(path: Path) -> None:
    """A process that was not told who may call serves nobody; nor does one that has closed."""
    door = Authorizer()
    assert refused(door) is Reason.MODEL_LOADING
    with pytest.raises(Refusal):
        door.admit_reflection({})
    with pytest.raises(Refusal):
        door.admit_beside_edge("GetStatistics", {})
    door = open_to_all()
    assert door.admit("Predict", {}) == Admission()
    door.close()
    door.close()
    assert refused(door) is Reason.MODEL_LOADING


def test_where_nobody_is_asked_a_shown_key_is_nobodys(path: Path) -> None:
    """An open service knows no callers, whatever they say they are."""
    assert open_to_all().admit("Predict", {"x-api-key": "tsk_a_b", IDENTITY_HEADER: "desk"}) == Admission()


def test_behind_an_edge_calls_beside_it_are_refused(path: Path) -> None:
    """Even with a valid key: it would have crossed the network as plain text."""
    [token] = written_keys(path, made_key("desk"))
    door = open_to(path, edge_secret=EDGE_SECRET)
    assert refused(door, x_api_key=token) is Reason.EDGE_REQUIRED
    assert refused(door, x_api_key=token, **{SECRET_HEADER: "another start's"}) is Reason.EDGE_REQUIRED
    assert door.admit("Predict", {"x-api-key": token} | EDGE).identity == "desk"
    with pytest.raises(Refusal):
        door.admit_reflection({"x-api-key": token})
    door.admit_beside_edge("GetStatistics", {"x-api-key": token})


def test_a_certificate_stands_for_its_key(path: Path) -> None:
    """With that key's rights and its end; one that stands for none opens nothing."""
    written_keys(path, made_key("desk", methods=("Predict",)), made_key("old", expires_at=-1.0))
    door = open_to(path, edge_secret=EDGE_SECRET)
    assert door.admit("Predict", EDGE | {IDENTITY_HEADER: "desk"}).identity == "desk"
    for method, identity, reason in (
        ("ListModels", "desk", Reason.METHOD_NOT_ALLOWED),
        ("Predict", "old", Reason.API_KEY_INVALID),
        ("Predict", "stranger", Reason.API_KEY_INVALID),
    ):
        with pytest.raises(Refusal) as caught:
            door.admit(method, EDGE | {IDENTITY_HEADER: identity})
        assert caught.value.reason is reason


def test_an_identity_without_the_edges_secret_is_nobodys(path: Path) -> None:
    """Whoever writes the header himself has no certificate."""
    written_keys(path, made_key("desk"))
    assert refused(open_to(path), **{IDENTITY_HEADER: "desk"}) is Reason.API_KEY_MISSING
    door = open_to(path, edge_secret=EDGE_SECRET)
    with pytest.raises(Refusal) as caught:
        door.admit_beside_edge("Predict", {IDENTITY_HEADER: "desk", SECRET_HEADER: "guessed"})
    assert caught.value.reason is Reason.API_KEY_MISSING


def test_a_shown_key_wins_over_the_certificate(path: Path) -> None:
    """A gateway speaks for several; what it shows wrongly is refused, not made up for by its certificate."""
    _, shown = written_keys(path, made_key("gateway"), made_key("desk"))
    door = open_to(path, edge_secret=EDGE_SECRET)
    certified = EDGE | {IDENTITY_HEADER: "gateway"}
    assert door.admit("Predict", certified | {"x-api-key": shown}).identity == "desk"
    with pytest.raises(Refusal):
        door.admit("Predict", certified | {"x-api-key": shown[:-1]})


def test_a_certificate_names_its_caller_where_keys_are_not_asked_for() -> None:
    """He has an identity and owns what he writes, without limits of a key."""
    door = Authorizer()
    door.open(ring=None, edge_secret=EDGE_SECRET)
    admission = door.admit("Predict", EDGE | {IDENTITY_HEADER: "desk"})
    assert (admission.identity, admission.owner, admission.grant) == ("desk", "desk", None)
    assert door.admit("Predict", dict(EDGE)) == Admission()


def test_reflection_is_open_or_needs_any_key(path: Path) -> None:
    """Whatever methods the key opens: reflection is none of them."""
    [token] = written_keys(path, made_key("desk", methods=("Predict",)))
    open_to(path, reflection_is_open=True).admit_reflection({})
    door = open_to(path)
    door.admit_reflection({"x-api-key": token})
    with pytest.raises(Refusal) as caught:
        door.admit_reflection({})
    assert caught.value.reason is Reason.API_KEY_MISSING


def test_binary_values_are_no_keys() -> None:
    """Only names that end in -bin carry bytes, and none of ours does."""
    assert shown_token({"x-api-key": b"\xff"}) == ""
    assert shown_token({"authorization": b"Bearer x"}) is None


def test_refusals_are_counted_all_and_told_now_and_then(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger who knocks a thousand times makes one line, which says so later; no line has what he sent."""
    [token] = written_keys(path, made_key("desk"))
    now = [0.0]
    door = open_to(path, tally=RefusalTally(clock=lambda: now[0]))
    for _ in range(1000):
        refused(door, x_api_key=token + "guess")
    now[0] = INTERVAL
    refused(door, x_api_key="tsk_stranger_" + "A" * 43)
    assert door.refusals == {Reason.API_KEY_INVALID: 1001}
    assert [vars(record)["count"] for record in caplog.records] == [1, 1000]
    said = " ".join(str(vars(record)) for record in caplog.records)
    assert not any(text in said for text in ("stranger", "guess", token))
    assert {record.levelno for record in caplog.records} == {logging.WARNING}

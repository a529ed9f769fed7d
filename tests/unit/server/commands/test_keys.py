"""Laws of `tickserve keys`: what it makes opens the door, is shown once, and is gone when it is revoked."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from batching import PriorityClass
from server.commands.keys import app
from server.grant import RateLimit
from server.security.key_file import read_keys
from server.security.key_ring import KeyRing


class Outcome(NamedTuple):
    """What a run left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of keys, which the settings name."""
    path = tmp_path / "keys.json"
    monkeypatch.setenv("TICKSERVE_SECURITY__KEYS_FILE", str(path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return path


def run(*arguments: str) -> Outcome:
    """Runs the command."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def test_a_key_is_printed_once_and_opens_the_door(path: Path) -> None:
    """It stands alone on its line, for `KEY=$(tickserve keys add ...)`, and neither in the file nor in a list."""
    made = run("add", "desk")
    token = made.out.strip()
    assert (made.code, len(made.out.splitlines())) == (0, 1)
    ring = KeyRing(path)
    ring.load()
    found = ring.find(token)
    assert found is not None
    assert found.id == "desk"
    shown = run("list").out + run("list", "--json").out + path.read_text() + made.err
    assert "desk" in shown
    assert token not in shown
    assert token[-43:] not in shown


def test_all_that_a_key_can_have_is_kept(path: Path) -> None:
    """As it was given, in any order."""
    before = time.time()
    made = run(
        *("add", "desk", "--name", "execution", "--method", "Predict", "--method", "PredictBatch"),
        *("--max-priority", "standard", "--rate", "standard=100", "--rate", "background=0.5:10"),
        *("--max-streams", "3", "--expires", "90d", "--owner", "house", "--json"),
    )
    assert made.code == 0
    told: dict[str, Any] = json.loads(made.out)
    key = read_keys(path)["desk"]
    assert (told["key"][:9], told["id"], told["expired"]) == ("tsk_desk_", "desk", False)
    assert (key.name, key.methods) == ("execution", frozenset({"Predict", "PredictBatch"}))
    assert (key.grant.owner, key.grant.max_priority, key.grant.max_streams) == ("house", PriorityClass.STANDARD, 3)
    assert key.grant.rate_limits == {
        PriorityClass.STANDARD: RateLimit(rate=100, burst=100),
        PriorityClass.BACKGROUND: RateLimit(rate=0.5, burst=10),
    }
    assert key.expires_at is not None
    assert 0 <= key.expires_at - before - 90 * 86_400 < 600
    [listed] = json.loads(run("list", "--json").out)["keys"]
    assert listed == {name: value for name, value in told.items() if name != "key"}


def test_a_revoked_key_is_gone(path: Path) -> None:
    """The others stay; one that is not there cannot be revoked."""
    run("add", "one")
    run("add", "two")
    assert run("revoke", "one").code == 0
    assert list(read_keys(path)) == ["two"]
    again = run("revoke", "one")
    assert (again.code, "no key one" in again.err) == (1, True)


def test_an_id_is_never_given_twice(path: Path) -> None:
    """The former key stays as it is."""
    run("add", "desk")
    before = path.read_bytes()
    again = run("add", "desk")
    assert (again.code, again.out) == (1, "")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "a b"),
        ("add", "-x"),
        ("add", "x", "--owner", "a/b"),
        ("add", "x", "--max-priority", "urgent"),
        ("add", "x", "--max-priority", "shadow"),
        ("add", "x", "--method", "Pre dict"),
        ("add", "x", "--rate", "standard"),
        ("add", "x", "--rate", "standard=0"),
        ("add", "x", "--rate", "standard=1:0"),
        ("add", "x", "--rate", "quick=1"),
        ("add", "x", "--max-streams", "-1"),
        ("add", "x", "--expires", "soon"),
        ("add", "x", "--expires", "2030-01-01T00:00"),
        ("add", "x", "--expires", "2020-01-01T00:00Z"),
        ("add", "x", "--expires", "0d"),
        ("add", "x", "--name", "n" * 201),
        ("add",),
        ("revoke",),
    ],
)
def test_wrong_usage_ends_with_2_and_makes_nothing(path: Path, arguments: tuple[str, ...]) -> None:
    """Before the file is touched."""
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err
    assert not path.exists()


def test_a_damaged_file_is_left_alone(path: Path) -> None:
    """It may hold all that there is: nothing is written over it."""
    path.write_text("{")
    for arguments in (("add", "desk"), ("list",), ("revoke", "desk")):
        outcome = run(*arguments)
        assert (outcome.code, "is not a file of API keys" in outcome.err) == (1, True)
    assert path.read_text() == "{"


def test_a_file_must_be_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the settings or the option, which wins."""
    other = path.with_name("other.json")
    assert run("add", "desk", "--file", str(other)).code == 0
    assert (other.exists(), path.exists()) == (True, False)
    monkeypatch.delenv("TICKSERVE_SECURITY__KEYS_FILE")
    outcome = run("list")
    assert (outcome.code, "--file" in outcome.err) == (2, True)

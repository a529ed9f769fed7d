"""Laws of the file of keys: what is written is read, nothing else is, and a reader never meets a part of it."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from batching import PriorityClass
from server.grant import RateLimit
from server.security.api_key import ApiKey, split_token
from server.security.key_file import KeyFileError, changing, parse_keys, read_keys, render_keys, write_keys
from tests.support.doors import made_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys lie."""
    return tmp_path / "keys.json"


def full_key() -> tuple[str, ApiKey]:
    """Returns a key with all that one can have."""
    return made_key(
        "desk-1",
        name="execution desk",
        methods=("Predict", "PredictBatch"),
        created_at=1_700_000_000.0,
        expires_at=1_800_000_000.0,
        owner="desk",
        max_priority=PriorityClass.STANDARD,
        rate_limits={PriorityClass.REAL_TIME: RateLimit(rate=10.5, burst=20)},
        max_streams=3,
    )


def test_what_is_written_is_read(path: Path) -> None:
    """Every field, of keys with all and with none of them."""
    keys = {key.id: key for _, key in (made_key("plain", created_at=1.0), full_key())}
    write_keys(path, keys)
    assert read_keys(path) == keys


def test_the_file_is_for_its_user_alone_and_holds_no_secret(path: Path) -> None:
    """Digests, which open nothing, and yet nobody else may read them."""
    token, key = made_key("desk")
    write_keys(path, {"desk": key})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert split_token(token)[1] not in path.read_text()
    assert os.listdir(path.parent) == ["keys.json"]


def test_a_group_that_could_read_still_can(path: Path) -> None:
    """The service may run as another user than who manages its keys; nobody gains a right to write."""
    write_keys(path, {})
    path.chmod(0o660)
    write_keys(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    """What it points to is replaced."""
    real = tmp_path / "real.json"
    write_keys(real, {})
    path.symlink_to(real)
    write_keys(path, {"desk": made_key("desk")[1]})
    assert path.is_symlink()
    assert list(read_keys(real)) == ["desk"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version"),
        ({"unknown": 1}, "unknown"),
        ({"keys": [{"id": "x"}]}, "keys.0.sha256"),
        ({"keys": "tsk_desk_" + "A" * 43}, "keys"),
    ],
)
def test_another_form_is_refused_without_its_values(change: dict[str, object], words: str) -> None:
    """The message says where; what stands there may be a key that got there by mistake."""
    document = json.dumps({"version": 1, "keys": []} | change).encode()
    with pytest.raises(KeyFileError, match=words) as caught:
        parse_keys(document, where="keys.json")
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [
        {"id": "a b"},
        {"sha256": "00"},
        {"methods": []},
        {"methods": ["a b"]},
        {"max_priority": "urgent"},
        {"max_priority": "shadow"},
        {"max_streams": -1},
        {"rate_limits": {"real_time": {"rate": 0, "burst": 1}}},
        {"rate_limits": {"shadow": {"rate": 1, "burst": 1}}},
        {"created_at": "2026-01-01T00:00:00"},
        {"expires_at": "soon"},
        {"sercet": "x"},
    ],
)
def test_every_field_is_checked(field: dict[str, object]) -> None:
    """A misspelt limit that is silently ignored would be a door left open."""
    good = json.loads(render_keys({"desk": made_key("desk")[1]}))
    parse_keys(json.dumps(good).encode(), where="f")
    good["keys"][0] |= field
    with pytest.raises(KeyFileError):
        parse_keys(json.dumps(good).encode(), where="f")


def test_two_keys_of_one_id_are_refused() -> None:
    """Which of them would count?"""
    good = json.loads(render_keys({"desk": made_key("desk")[1]}))
    good["keys"] *= 2
    with pytest.raises(KeyFileError, match="same id"):
        parse_keys(json.dumps(good).encode(), where="f")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"version": 1'])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    """A file cut short is not one with fewer keys."""
    with pytest.raises(KeyFileError):
        parse_keys(data, where="f")


def test_a_file_that_anybody_may_write_is_refused(path: Path) -> None:
    """He could make himself a key."""
    write_keys(path, {})
    path.chmod(0o646)
    with pytest.raises(KeyFileError, match="chmod o-w"):
        read_keys(path)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    """And a folder is none."""
    with pytest.raises(KeyFileError, match="tickserve keys add"):
        read_keys(path)
    with pytest.raises(KeyFileError, match="directory"):
        read_keys(path.parent)


def test_a_change_that_fails_changes_nothing(path: Path) -> None:
    """Neither the file nor its folder."""
    write_keys(path, {"desk": made_key("desk")[1]})
    before = path.read_bytes()

    def fail() -> None:
        with changing(path) as keys:
            keys.clear()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (path.read_bytes(), os.listdir(path.parent)) == (before, ["keys.json"])


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    """Who comes second waits for the first."""

    def add(number: int) -> None:
        key_id = f"key{number}"
        with changing(path) as keys:
            keys[key_id] = made_key(key_id)[1]

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_keys(path)) == sorted(f"key{number}" for number in range(12))

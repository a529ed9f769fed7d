"""Laws of the keys in force: they follow the file, and a file that cannot be read takes none of them away."""

import logging
import os
from pathlib import Path

import pytest

from server.security.api_key import split_token, token_of
from server.security.key_file import KeyFileError, write_keys
from server.security.key_ring import KeyRing
from tests.support.doors import made_key, written_keys
from tests.support.waiting import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys lie."""
    return tmp_path / "keys.json"


def loaded(path: Path) -> KeyRing:
    """Returns the keys of a file, which is not looked at again by itself."""
    ring = KeyRing(path)
    ring.load()
    return ring


def test_a_key_is_found_by_the_whole_of_its_token(path: Path) -> None:
    """Another key's secret, or an id that nobody has, opens nothing."""
    one, two = written_keys(path, made_key("one"), made_key("two"))
    ring = loaded(path)
    found = [ring.find(token) for token in (one, two)]
    assert [key and key.id for key in found] == ["one", "two"]
    crossed = token_of("one", split_token(two)[1])
    wrong = (crossed, one.replace("one", "nobody"), one[:-1], "", "tsk_one_")
    assert not any(ring.find(token) for token in wrong)


def test_nobody_is_found_in_an_empty_ring(path: Path) -> None:
    """Not even by the text whose digest could stand for nobody."""
    written_keys(path)
    assert loaded(path).find("") is None


def test_a_changed_file_is_put_in_force(path: Path) -> None:
    """Keys come and go."""
    [old] = written_keys(path, made_key("old"))
    ring = loaded(path)
    [new] = written_keys(path, made_key("new"))
    ring.look()
    assert (ring.find(old), ring.state.key_count) == (None, 1)
    assert ring.find(new) is not None


def test_a_folder_swapped_behind_a_link_is_seen(tmp_path: Path) -> None:
    """That is how Kubernetes changes a secret."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    [old] = written_keys(tmp_path / "v1/keys.json", made_key("desk"))
    [new] = written_keys(tmp_path / "v2/keys.json", made_key("desk"))
    data, mounted = tmp_path / "..data", tmp_path / "keys.json"
    data.symlink_to("v1")
    mounted.symlink_to("..data/keys.json")
    ring = loaded(mounted)
    swapped = tmp_path / "..tmp"
    swapped.symlink_to("v2")
    os.replace(swapped, data)
    ring.look()
    assert ring.find(old) is None
    assert ring.find(new) is not None


def test_a_broken_file_takes_no_key_away_and_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The former keys stay in force until the file is whole again."""
    [token] = written_keys(path, made_key("desk"))
    ring = loaded(path)
    for content in (b"{", b"{", None):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        ring.look()
        assert ring.find(token) is not None
        assert (ring.state.is_stale, ring.state.key_count) == (True, 1)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2, "one for the damage and one for the loss"
    write_keys(path, {"other": made_key("other")[1]})
    ring.look()
    assert (ring.find(token), ring.state.is_stale) == (None, False)


def test_a_ring_without_a_readable_file_does_not_begin(path: Path) -> None:
    """Who starts must be told."""
    with pytest.raises(KeyFileError):
        loaded(path)


def test_a_thread_looks_until_it_is_closed(path: Path) -> None:
    """By itself, and its end is waited for."""
    written_keys(path, made_key("old"))
    ring = KeyRing(path, interval=0.01)
    ring.load()
    ring.start()
    try:
        [new] = written_keys(path, made_key("new"))
        wait_for(lambda: ring.find(new))
    finally:
        ring.close()
    ring.close()

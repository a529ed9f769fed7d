"""Laws of the cache of compiled artifacts: what it gives is what was kept, and whatever is wrong costs only time."""

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from model.compiled_cache import ArtifactKey, CompiledCache

WEIGHTS = "a" * 64
KEY = ArtifactKey(WEIGHTS, "engine", ("sources 1", "torch 2"))
FILES = {"one.bin": b"1" * 1000, "two.bin": b"2" * 10}


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    """An empty cache whose folder is not there yet."""
    return CompiledCache(tmp_path / "parent" / "cache")


def entry(cache: CompiledCache, key: ArtifactKey = KEY) -> Path:
    """Where an artifact lies."""
    return cache.path / key.weights_sha256 / key.folder_name


def test_what_was_kept_is_found(cache: CompiledCache) -> None:
    """The very bytes, by another process's cache of the same folder, and nothing before they were kept."""
    assert cache.read(KEY) is None
    assert cache.write(KEY, FILES)
    assert CompiledCache(cache.path).read(KEY) == FILES


@pytest.mark.parametrize(
    "other",
    [
        ArtifactKey("b" * 64, "engine", KEY.details),
        ArtifactKey(WEIGHTS, "golden", KEY.details),
        ArtifactKey(WEIGHTS, "engine", ("sources 2", "torch 2")),
        ArtifactKey(WEIGHTS, "engine", ("sources 1", "torch 2", "")),
        ArtifactKey(WEIGHTS, "engine", ("sources 1torch 2",)),
    ],
)
def test_another_key_finds_nothing(cache: CompiledCache, other: ArtifactKey) -> None:
    """Weights, kind and every detail decide."""
    cache.write(KEY, FILES)
    assert cache.read(other) is None


def test_nobody_else_may_look_in(cache: CompiledCache) -> None:
    """The folder is made for this user alone, and says what an entry depends on."""
    cache.write(KEY, FILES)
    assert cache.path.stat().st_mode & 0o777 == 0o700
    assert entry(cache).stat().st_mode & 0o077 == 0
    assert json.loads((entry(cache) / "manifest.json").read_text())["details"] == list(KEY.details)


def truncate(folder: Path) -> None:
    """Leaves the end of a file out."""
    (folder / "one.bin").write_bytes(FILES["one.bin"][:-1])


def flip(folder: Path) -> None:
    """Changes a byte."""
    (folder / "two.bin").write_bytes(b"3" + FILES["two.bin"][1:])


def add(folder: Path) -> None:
    """Adds a file."""
    (folder / "three.bin").write_bytes(b"")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "one byte changed": flip,
    "a file more": add,
    "a file less": lambda folder: (folder / "one.bin").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest is no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest is a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "manifest leads out": lambda folder: (folder / "manifest.json").write_text('{"files": {"../x": "0"}}'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_removed_and_made_again(
    cache: CompiledCache, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """It is never given to anybody; the log names the folder; the next writer mends it."""
    cache.write(KEY, FILES)
    damage(entry(cache))
    assert cache.read(KEY) is None
    assert str(entry(cache)) in caplog.text
    assert not entry(cache).exists()
    assert cache.write(KEY, FILES)
    assert cache.read(KEY) == FILES


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_is_not_used(
    cache: CompiledCache, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What is kept is run: neither is anything read there nor written."""
    cache.write(KEY, FILES)
    cache.path.chmod(mode)
    assert cache.read(KEY) is None
    assert not cache.write(ArtifactKey(WEIGHTS, "other", ()), FILES)
    assert "can be written by others" in caplog.text
    cache.path.chmod(0o700)
    assert cache.read(KEY) == FILES


def test_a_folder_of_somebody_else_is_not_used(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner could write anything there."""
    cache.write(KEY, FILES)
    monkeypatch.setattr("model.compiled_cache.os.geteuid", lambda: os.getuid() + 1)
    assert cache.read(KEY) is None
    assert not cache.write(KEY, FILES)
    assert "belongs to user" in caplog.text


def test_a_full_disk_costs_nothing_but_the_entry(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller goes on; nothing half-written is left, and what was there before is still found."""
    cache.write(KEY, FILES)

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert not cache.write(ArtifactKey(WEIGHTS, "other", ()), FILES)
    assert "No space left" in caplog.text
    assert [path.name for path in (cache.path / WEIGHTS).iterdir()] == [KEY.folder_name]
    assert cache.read(KEY) == FILES


def test_a_file_in_the_folders_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A path that cannot be a folder is logged and not used."""
    (tmp_path / "cache").write_text("")
    cache = CompiledCache(tmp_path / "cache")
    assert cache.read(KEY) is None
    assert not cache.write(KEY, FILES)
    assert "cache" in caplog.text


def test_the_bound_removes_what_was_unused_for_longest(tmp_path: Path) -> None:
    """Reading is use; the newest entry stays even if it alone is above the bound."""
    keys = [ArtifactKey(f"{number}" * 64, "engine", ()) for number in range(4)]
    cache = CompiledCache(tmp_path / "cache", max_bytes=4000)
    for age, key in enumerate(keys[:3]):
        cache.write(key, FILES)  # about 1.2 KB with the manifest
        os.utime(entry(cache, key), (1000 + age, 1000 + age))
    assert cache.read(keys[0]) == FILES
    cache.write(keys[3], FILES)
    assert [cache.read(key) is not None for key in keys] == [True, False, True, True]
    CompiledCache(cache.path, max_bytes=1).write(KEY, FILES)
    assert cache.read(KEY) == FILES
    assert all(cache.read(key) is None for key in keys)


def test_what_a_dead_process_left_is_cleared_away(cache: CompiledCache) -> None:
    """Half-written folders go after an hour; a writer at work keeps its own."""
    cache.write(KEY, FILES)
    old, new = (cache.path / WEIGHTS / f".writing-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (1000, 1000))
    cache.write(ArtifactKey(WEIGHTS, "other", ()), FILES)
    assert not old.exists()
    assert new.exists()


def test_writers_at_the_same_time(cache: CompiledCache, caplog: pytest.LogCaptureFixture) -> None:
    """Many threads write and read one entry: each read is all of it or nothing, each write succeeds."""
    caplog.set_level(logging.WARNING)
    start = threading.Barrier(8)
    written, found = [], []

    def work() -> None:
        start.wait()
        for _ in range(5):
            written.append(cache.write(KEY, FILES))
            found.append(cache.read(KEY))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(written)
    assert all(files == FILES for files in found)
    assert len(found) == 40
    assert [path.name for path in (cache.path / WEIGHTS).iterdir()] == [KEY.folder_name]
    assert not caplog.records

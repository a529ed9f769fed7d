"""Laws of a literal `latest/` folder: it becomes the next version, once for each content, or is refused."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model import latest_folder, version_folder, version_import
from model.errors import ModelLoadError
from model.registry import Registry
from tests.support.tiny_model import CONFIG, NAME, WINDOWS, Trap, build, folder, saved_bytes


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with version 1 of one model."""
    registry = Registry(tmp_path / "registry")
    registry.save(NAME, build(), CONFIG)
    return registry


def latest(registry: Registry) -> Path:
    """The folder in question."""
    return registry.path / NAME / "latest"


def put(registry: Registry, tmp_path: Path) -> bytes:
    """Put another network into `latest/`, as a complete version; give its weights."""
    other = Registry(tmp_path / "other")
    number = other.save(NAME, build(), CONFIG, WINDOWS)
    shutil.rmtree(latest(registry), ignore_errors=True)
    shutil.copytree(folder(other, number), latest(registry))
    return (latest(registry) / "model.pth").read_bytes()


def test_latest_is_imported_as_the_next_version(registry: Registry, tmp_path: Path) -> None:
    """Byte for byte, with its golden windows; the folder stays as it was."""
    weights = put(registry, tmp_path)
    assert registry.resolve(NAME) == registry.resolve(NAME, "latest") == 2
    loaded = registry.load(NAME)
    assert (folder(registry, 2) / "model.pth").read_bytes() == weights
    assert loaded.version == 2
    assert loaded.golden is not None
    assert sorted(entry.name for entry in latest(registry).iterdir()) == ["config.json", "golden.npy", "model.pth"]


def test_the_same_content_is_imported_once(registry: Registry, tmp_path: Path) -> None:
    """Whoever asks how often, and after a restart: content that a version has is not imported again."""
    put(registry, tmp_path)
    for asked in (registry, registry, Registry(registry.path), Registry(registry.path)):
        assert asked.resolve(NAME) == 2
    os.utime(latest(registry) / "model.pth")
    assert registry.resolve(NAME) == 2
    assert registry.versions(NAME) == (1, 2)


def test_new_content_is_the_version_after(registry: Registry, tmp_path: Path) -> None:
    """Each content of the folder is a version; a version trained meanwhile is not undone by the folder."""
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 3
    assert registry.save(NAME, build(), CONFIG) == 4
    assert registry.resolve(NAME) == 4
    assert registry.versions(NAME) == (1, 2, 3, 4)


def test_a_deleted_import_comes_back(registry: Registry, tmp_path: Path) -> None:
    """As long as `latest/` has the content, deleting the version alone does not get rid of it."""
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2
    shutil.rmtree(folder(registry, 2))
    assert registry.resolve(NAME) == 2


def test_latest_may_be_all_there_is(registry: Registry, tmp_path: Path) -> None:
    """A model with nothing but `latest/` is found; its first version is 1."""
    put(registry, tmp_path)
    shutil.rmtree(folder(registry, 1))
    assert registry.resolve(NAME) == 1
    assert registry.load(NAME).version == 1


def test_latest_may_be_a_link_to_a_version(registry: Registry) -> None:
    """A link to a numbered version has that version's content: there is nothing to import."""
    latest(registry).symlink_to("1")
    assert registry.resolve(NAME) == 1
    assert registry.versions(NAME) == (1,)


def test_a_config_by_hand_needs_no_hash(registry: Registry, tmp_path: Path) -> None:
    """The imported version says the hash that the hand-written config left out."""
    put(registry, tmp_path)
    path = latest(registry) / "config.json"
    values = json.loads(path.read_text())
    del values["sha256"], values["golden_sha256"]
    path.write_text(json.dumps(values))
    assert len(registry.load(NAME).config.sha256) == 64


def test_nothing_is_read_again_while_nothing_changes(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica looks every few seconds: it compares the files' identity, and reads them when that changes."""
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2
    reads: list[Path] = []

    def read(path: Path, limit: int) -> bytes:
        reads.append(path)
        return path.read_bytes()

    monkeypatch.setattr(latest_folder, "read_bounded", read)
    registry.resolve(NAME)
    assert reads == []
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 3
    assert reads == [latest(registry) / "model.pth"]


@pytest.mark.parametrize("missing", ["model.pth", "config.json"])
def test_a_half_written_latest_is_refused_until_it_is_whole(registry: Registry, tmp_path: Path, missing: str) -> None:
    """Refused with what is missing; pinned versions load meanwhile; once complete, it is imported."""
    put(registry, tmp_path)
    away = (latest(registry) / missing).rename(tmp_path / missing)
    for _ in range(2):
        with pytest.raises(ModelLoadError, match=f"half-written: {missing} missing; finish the copy") as caught:
            registry.resolve(NAME)
        assert caught.value.path == latest(registry)
    assert registry.load(NAME, 1).version == 1
    away.rename(latest(registry) / missing)
    assert registry.resolve(NAME) == 2


def test_a_bad_latest_is_refused_and_no_version_made(registry: Registry, tmp_path: Path) -> None:
    """Cut short, other than its hash, with code in it, or with a foreign config: refused, and nothing is run."""
    whole = put(registry, tmp_path)
    weights, config = latest(registry) / "model.pth", latest(registry) / "config.json"
    values = json.loads(config.read_text())
    unhashed = json.dumps({name: value for name, value in values.items() if name != "sha256"})
    trap = saved_bytes({"a": Trap(tmp_path / "sprung")})
    for content, text, at, words in (
        (whole[:-100], json.dumps(values), weights, "sha256"),
        (whole[:-100], unhashed, weights, "plain tensors"),
        (trap, unhashed, weights, "plain tensors"),
        (whole, '{"model_type": "CNNLSTMHybridModel", "input_dim": 50}', config, "unknown field"),
        (whole, json.dumps(values | {"network": values["network"] | {"head_hidden": 12}}), weights, "does not fit"),
    ):
        weights.write_bytes(content)
        config.write_text(text)
        for _ in range(2):  # what is remembered of it is told like the first time
            with pytest.raises(ModelLoadError, match=words) as caught:
                registry.resolve(NAME)
            assert caught.value.path == at
            assert caught.value.remedy
    assert registry.versions(NAME) == (1,)
    assert not (tmp_path / "sprung").exists()
    weights.write_bytes(whole)
    config.write_text(json.dumps(values))
    assert registry.resolve(NAME) == 2


def test_a_read_only_registry_refuses_with_the_remedy_until_it_is_writable(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be imported is refused and told where to copy it; the next look tries again."""
    put(registry, tmp_path)

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(version_import, "write_version", refuse)
        with pytest.raises(ModelLoadError, match="Read-only file system; make the folder writable, or copy") as caught:
            registry.resolve(NAME)
    assert caught.value.path == latest(registry) / "model.pth"
    assert registry.versions(NAME) == (1,)
    assert registry.resolve(NAME) == 2


def test_an_imported_latest_needs_no_writing(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once imported, a registry that has become read-only serves on."""
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("written to")

    for module, name in ((version_import, "write_version"), (version_import, "_locked"), (version_folder, "_write")):
        monkeypatch.setattr(module, name, refuse)
    assert Registry(registry.path).resolve(NAME) == 2


def test_replicas_that_find_it_at_once_make_one_version(registry: Registry, tmp_path: Path) -> None:
    """All who see new content at the same moment agree on one version."""
    put(registry, tmp_path)
    start = threading.Barrier(4)
    found: list[int] = []

    def ask() -> None:
        replica = Registry(registry.path)
        start.wait()
        found.append(replica.resolve(NAME))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4
    assert registry.versions(NAME) == (1, 2)


def test_without_locks_it_is_imported_all_the_same(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that has no locks does not keep content out."""

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2


def test_a_lock_that_is_never_given_back_is_not_waited_for_forever(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the lock for longer than writing takes has been stopped: the import goes on without it."""

    def busy(*_: int) -> None:
        raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")

    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("fcntl.flock", busy)
    monkeypatch.setattr("model.version_import.time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    put(registry, tmp_path)
    assert registry.resolve(NAME) == 2
    assert now[0] == pytest.approx(10.0, abs=0.1)

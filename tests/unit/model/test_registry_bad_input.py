"""Laws of the registry under hostile or broken files: refused by file and reason, at a bounded price, nothing run."""

import dataclasses
import io
import json
import os
import shutil
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from model import version_folder
from model.errors import ModelLoadError, ModelNotFoundError
from model.golden_file import MAX_GOLDEN_BYTES
from model.registry import Registry
from model.weights_file import MAX_WEIGHTS_BYTES
from tests.support.tiny_model import (
    CONFIG,
    NAME,
    TINY,
    WINDOWS,
    Trap,
    build,
    edit_config,
    folder,
    refusal,
    replace_weights,
    saved_bytes,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version of one model, with golden windows; to be copied, not changed."""
    path = tmp_path_factory.mktemp("registry")
    Registry(path).save(NAME, build(), CONFIG, WINDOWS)
    return path


@pytest.fixture
def registry(saved: Path, tmp_path: Path) -> Registry:
    """A registry of this test's own."""
    return Registry(shutil.copytree(saved, tmp_path / "registry"))


@pytest.mark.parametrize(
    ("file", "size"),
    [("model.pth", MAX_WEIGHTS_BYTES + 1), ("config.json", 2**33), ("golden.npy", MAX_GOLDEN_BYTES + 1)],
)
def test_huge_files_are_not_read(registry: Registry, file: str, size: int) -> None:
    """A file beyond its bound is refused by its size; no memory is spent on it."""
    path = folder(registry) / file
    os.truncate(path, size)  # a sparse file: no disk is spent on it either
    tracemalloc.start()
    try:
        error = refusal(registry)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.path == path
    assert f"has {size} bytes, more than" in error.reason
    assert peak < 32 * 1024**2


@pytest.mark.parametrize(
    "network",
    [
        {"cnn_filters": 4096, "projection": 4096, "lstm_hidden": 2048, "fusion": 4096, "head_hidden": 4096},
        {"ensemble_heads": 4096, "ensemble_hidden": 4096},
        {"monte_carlo_samples": 4096, "head_hidden": 4096, "lstm_hidden": 2048, "fusion": 4096},
        {"kernel_sizes": [1023] * 32, "cnn_filters": 4096},
    ],
)
def test_an_absurd_config_allocates_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, network: dict[str, Any]
) -> None:
    """A config that asks for gigabytes is held against the weights by arithmetic; no such network is built."""

    def build_none(*_: object) -> None:
        pytest.fail("a network was built")

    monkeypatch.setattr("model.weights_file.HybridNetwork", build_none)
    stored = json.loads((folder(registry) / "config.json").read_text())["network"]
    edit_config(registry, network=stored | network)
    error = refusal(registry)
    assert error.path == folder(registry) / "model.pth"
    assert "which describes" in error.reason


@pytest.mark.parametrize("network", [{"kernel_sizes": [3] * 10_000}, {"lstm_layers": 4096}, {"feature_count": 10**400}])
def test_an_absurd_number_of_modules_is_refused(registry: Registry, network: dict[str, Any]) -> None:
    """A config of more modules than any network has, or of numbers beyond all bounds, is no config."""
    stored = json.loads((folder(registry) / "config.json").read_text())["network"]
    path = edit_config(registry, network=stored | network)
    error = refusal(registry)
    assert error.path == path
    assert next(iter(network)) in error.reason
    assert len(str(error)) < 1000


def compressed(content: bytes) -> bytes:
    """The same archive, its entries deflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return buffer.getvalue()


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(registry: Registry) -> None:
    """A small file of deflated zeros is refused by its directory, not unpacked."""
    path = replace_weights(registry, compressed(saved_bytes({"a": torch.zeros(10_000_000)})))
    assert path.stat().st_size < 100_000
    assert "unpacks to 4000" in refusal(registry).reason


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**12),
        torch.sparse_coo_tensor(torch.tensor([[0]]), torch.tensor([1.0]), (10**9,), check_invariants=True),
        torch.empty(10**9, device="meta"),
    ],
    ids=["one number stretched", "sparse", "without data"],
)
def test_tensors_larger_than_their_memory_are_refused(registry: Registry, tensor: torch.Tensor) -> None:
    """What would take gigabytes once it is copied is not a plain tensor."""
    state = dict(build().state_dict()) | {"ensemble.bias": tensor}
    path = replace_weights(registry, saved_bytes(state))
    assert refusal(registry).path == path


def test_weights_in_torchs_older_format_are_read(registry: Registry) -> None:
    """Files from before torch 1.6, which are no archives, are as good."""
    network = build()
    replace_weights(registry, saved_bytes(network.state_dict(), _use_new_zipfile_serialization=False))
    loaded = registry.load(NAME, 1)
    assert torch.equal(loaded.network.ensemble.weight, network.ensemble.weight)


def test_code_in_the_older_format_does_not_run(registry: Registry, tmp_path: Path) -> None:
    """Nor is a plain pickle of any protocol executed."""
    content = saved_bytes({"a": Trap(tmp_path / "sprung")}, _use_new_zipfile_serialization=False)
    replace_weights(registry, content)
    assert "plain tensors" in refusal(registry).reason
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("file", ["model.pth", "config.json", "golden.npy"])
def test_a_pipe_in_a_files_place_is_not_waited_for(registry: Registry, file: str) -> None:
    """What is no regular file is refused and never opened, which would wait for a writer."""
    path = folder(registry) / file
    path.unlink()
    os.mkfifo(path)
    assert file in str(refusal(registry))


def test_links_are_followed_and_what_they_lead_to_is_checked(registry: Registry, tmp_path: Path) -> None:
    """Releases and volumes are made of links: files, versions and models may be some; a dangling one is not there."""
    moved = folder(registry).rename(tmp_path / "elsewhere")
    folder(registry).symlink_to(moved)
    assert registry.load(NAME).version == 1
    (registry.path / NAME).rename(tmp_path / NAME)
    (registry.path / NAME).symlink_to(tmp_path / NAME)
    assert registry.names() == (NAME,)
    weights = (moved / "model.pth").rename(tmp_path / "weights")
    (moved / "model.pth").symlink_to(weights)
    assert registry.load(NAME).version == 1
    weights.write_bytes(b"other")
    assert "sha256" in refusal(registry).reason
    weights.unlink()
    assert "half-written" in refusal(registry).reason


def test_a_dangling_link_does_not_take_a_new_versions_place(registry: Registry) -> None:
    """A number that is taken by a link to nowhere is passed over."""
    folder(registry, 2).symlink_to("nowhere")
    assert registry.save(NAME, build(), CONFIG) == 3
    assert registry.versions(NAME) == (1, 3)


def test_a_registry_that_disappears_is_told_as_that(registry: Registry, tmp_path: Path) -> None:
    """Gone after it was there, it is a ModelLoadError with path and remedy; back again, it is as before."""
    assert registry.names() == (NAME,)
    away = registry.path.rename(tmp_path / "away")
    for use in (registry.names, lambda: registry.resolve(NAME), lambda: registry.load(NAME, 1)):
        with pytest.raises(ModelLoadError, match=r"disappeared.*mount or restore") as caught:
            use()
        assert caught.value.path == registry.path
    away.rename(registry.path)
    assert registry.load(NAME).version == 1


def test_a_registry_that_disappears_while_a_version_is_read(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice of a version and its reading too, an error with path and remedy."""
    before = version_folder.read_config

    def read_config(path: Path) -> Any:
        config = before(path)
        shutil.rmtree(registry.path)
        return config

    monkeypatch.setattr(version_folder, "read_config", read_config)
    error = refusal(registry)
    assert error.path == folder(registry) / "model.pth"
    assert error.remedy


@pytest.mark.parametrize("broken", [".", NAME])
def test_a_disk_that_fails_is_a_model_error(registry: Registry, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A raw OSError never leaves the registry: a stale mount, say, is told with the folder and the remedy."""
    failing = registry.path / broken
    before = Path.iterdir

    def iterdir(path: Path) -> Any:
        if path == failing:
            raise OSError(116, "Stale file handle")
        return before(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    for use in (registry.names, lambda: registry.resolve(NAME), lambda: registry.load(NAME, 1)):
        with pytest.raises(ModelLoadError, match=r"Stale file handle; .*mount") as caught:
            use()
        assert caught.value.path == failing


def test_a_running_save_is_not_seen(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a version is written, readers see neither it nor its number."""
    seen: list[tuple[int, ...]] = []
    before = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(registry.versions(NAME))
        before(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    registry.save(NAME, build(), CONFIG, WINDOWS)
    assert seen == [(1,)] * 3
    assert registry.versions(NAME) == (1, 2)


def test_the_older_config_still_loads(registry: Registry) -> None:
    """A config from before feature ranges and golden windows has neither, and is read as ever."""
    path = folder(registry) / "config.json"
    values = json.loads(path.read_text())
    del values["golden_sha256"]
    assert "feature_range" not in values
    path.write_text(json.dumps(values))
    (folder(registry) / "golden.npy").unlink()
    loaded = registry.load(NAME)
    assert loaded.config == dataclasses.replace(CONFIG, sha256=loaded.sha256)
    assert (loaded.config.network, loaded.config.feature_range, loaded.golden) == (TINY, None, None)


def test_no_such_version_stays_no_such_version(registry: Registry) -> None:
    """Errors about a broken disk do not hide the plain one."""
    with pytest.raises(ModelNotFoundError):
        registry.load(NAME, 2)

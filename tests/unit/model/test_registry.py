"""Laws of the registry: a version is whole or refused, with the file, the reason and the remedy."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from model.errors import ModelLoadError, ModelNameError, ModelNotFoundError
from model.network import HybridNetwork
from model.registry import Registry
from tests.support.tiny_model import CONFIG, TINY, Trap, build, edit_config, folder, replace_weights, saved_bytes


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version of one model; to be copied, not changed."""
    path = tmp_path_factory.mktemp("registry")
    Registry(path).save("eurusd", build(), CONFIG)
    return path


@pytest.fixture
def registry(saved: Path, tmp_path: Path) -> Registry:
    """A registry of this test's own with version 1 of `eurusd`."""
    return Registry(shutil.copytree(saved, tmp_path / "registry"))


def test_what_was_saved_is_loaded(registry: Registry) -> None:
    """A loaded version has the saved weights bit for bit, its hash, its config, and is in evaluation mode."""
    network = build()
    version = registry.save("eurusd", network, CONFIG)
    loaded = registry.load("eurusd", version)
    assert (loaded.name, loaded.version) == ("eurusd", version)
    assert loaded.sha256 == loaded.config.sha256
    assert loaded.sha256 == hashlib.sha256((folder(registry, version) / "model.pth").read_bytes()).hexdigest()
    assert loaded.config.network == TINY
    assert not any(module.training for module in loaded.network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name


def test_versions_count_up(registry: Registry) -> None:
    """Each save is the next number, latest is the highest as a number, and pinned ones stay."""
    for expected in (2, 3):
        assert registry.save("eurusd", build(), CONFIG) == expected
    folder(registry, 3).rename(folder(registry, 10))
    assert registry.versions("eurusd") == (1, 2, 10)
    assert registry.resolve("eurusd") == registry.resolve("eurusd", "latest") == 10
    assert registry.resolve("eurusd", 2) == 2
    assert registry.save("eurusd", build(), CONFIG) == 11


def test_names_lists_what_can_be_loaded(registry: Registry) -> None:
    """Only folders with a complete version are models."""
    registry.save("btcusd", build(), CONFIG)
    (registry.path / "empty").mkdir()
    (registry.path / "notes.txt").write_text("hello")
    assert registry.names() == ("btcusd", "eurusd")


def test_a_registry_not_there_yet_is_empty(tmp_path: Path) -> None:
    """Before the first save there is no folder, and no error but that nothing is found."""
    registry = Registry(tmp_path / "none")
    assert registry.names() == ()
    with pytest.raises(ModelNotFoundError, match="available: none"):
        registry.load("eurusd")


@pytest.mark.parametrize("version", [7, 0, -1])
def test_unknown_version_lists_the_known(registry: Registry, version: int) -> None:
    """The error for a version that is not there says which are."""
    with pytest.raises(ModelNotFoundError, match=r"eurusd \(1\)") as caught:
        registry.load("eurusd", version)
    assert (caught.value.name, caught.value.version) == ("eurusd", version)
    assert caught.value.available == {"eurusd": (1,)}


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "../registry/eurusd", "/etc", "a/b", "eurusd/1", "EURUSD", "a" * 65, "a\n", "a\0", "unknown"],
)
def test_no_name_leaves_the_registry(registry: Registry, name: str) -> None:
    """A name with a path in it, or merely unknown, is not found; to save under a bad one is refused."""
    with pytest.raises(ModelNotFoundError):
        registry.load(name)
    with pytest.raises(ModelNotFoundError):
        registry.load(name, 1)
    assert registry.versions(name) == ()
    if name != "unknown":
        with pytest.raises(ModelNameError):
            registry.save(name, build(), CONFIG)


def test_wrong_hash_is_refused_before_unpickling(registry: Registry, tmp_path: Path) -> None:
    """Weights that are not what the config vouches for are refused, and nothing of them is run."""
    path = folder(registry) / "model.pth"
    path.write_bytes(saved_bytes({"a": Trap(tmp_path / "sprung")}))
    with pytest.raises(ModelLoadError, match="sha256") as caught:
        registry.load("eurusd")
    assert caught.value.path == path
    assert not (tmp_path / "sprung").exists()


def test_code_in_the_weights_is_refused(registry: Registry, tmp_path: Path) -> None:
    """A pickle with code in it is refused even when its hash is vouched for, and the code does not run."""
    path = replace_weights(registry, saved_bytes({"a": Trap(tmp_path / "sprung")}))
    with pytest.raises(ModelLoadError, match="plain tensors") as caught:
        registry.load("eurusd")
    assert caught.value.path == path
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -1])
def test_truncated_weights_are_refused(registry: Registry, cut: int) -> None:
    """Weights cut short anywhere are refused, also when the hash was made of what is left."""
    content = (folder(registry) / "model.pth").read_bytes()
    replace_weights(registry, content[:cut])
    with pytest.raises(ModelLoadError) as caught:
        registry.load("eurusd")
    assert caught.value.path.name == "model.pth"


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"a": 1}, {1: torch.zeros(3)}, torch.zeros(3)],
    ids=["list", "numbers", "unnamed", "tensor"],
)
def test_not_a_state_dictionary(registry: Registry, content: object) -> None:
    """A file of something else than named tensors is refused."""
    replace_weights(registry, saved_bytes(content))
    with pytest.raises(ModelLoadError, match="state dictionary"):
        registry.load("eurusd")


def test_config_of_another_model_is_refused(registry: Registry) -> None:
    """An architecture that the weights do not fit is refused with the first misfits named."""
    network = json.loads((folder(registry) / "config.json").read_text())["network"]
    edit_config(registry, network=network | {"head_hidden": 12})
    with pytest.raises(ModelLoadError, match=r"does not fit config\.json.*classification"):
        registry.load("eurusd")


def test_missing_and_extra_weights_are_refused(registry: Registry) -> None:
    """The state dictionary holds exactly the network's tensors, no fewer and no more."""
    state = build().state_dict()
    more = dict(state) | {"extra": torch.zeros(1)}
    fewer = {name: tensor for name, tensor in state.items() if name != "ensemble.bias"}
    for wrong, name in ((more, "extra"), (fewer, r"ensemble\.bias")):
        replace_weights(registry, saved_bytes(wrong))
        with pytest.raises(ModelLoadError, match=name):
            registry.load("eurusd")


def test_weights_of_another_type_are_refused(registry: Registry) -> None:
    """Weights in half precision are not silently widened: they are not the network that was measured."""
    replace_weights(registry, saved_bytes({name: tensor.half() for name, tensor in build().state_dict().items()}))
    with pytest.raises(ModelLoadError, match=r"torch\.float16"):
        registry.load("eurusd")


def test_another_normalisation_is_refused(registry: Registry) -> None:
    """Config and weights that disagree on how features are normalised are not one model."""
    edit_config(registry, target_normalisation={"mean": [0.0, 2e-3], "standard_deviation": [1e-3, 1e-3]})
    with pytest.raises(ModelLoadError, match="normalisation"):
        registry.load("eurusd")
    with pytest.raises(ModelLoadError, match="normalisation"):
        registry.save("eurusd", HybridNetwork(TINY), CONFIG)
    assert registry.versions("eurusd") == (1,)


def test_non_finite_weights_are_refused(registry: Registry) -> None:
    """A network that diverged in training is neither saved nor loaded."""
    network = build()
    with torch.no_grad():
        network.ensemble.bias[0, 0] = torch.nan
    with pytest.raises(ModelLoadError, match=r"ensemble\.bias holds non-finite"):
        registry.save("eurusd", network, CONFIG)
    replace_weights(registry, saved_bytes(network.state_dict()))
    with pytest.raises(ModelLoadError, match="non-finite"):
        registry.load("eurusd")


@pytest.mark.parametrize("text", ["", "{", '{"format_version": 99}', "\xff"])
def test_bad_config_is_refused(registry: Registry, text: str) -> None:
    """A config that cannot be read is refused with its own path."""
    path = folder(registry) / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelLoadError) as caught:
        registry.load("eurusd")
    assert caught.value.path == path


@pytest.mark.parametrize("missing", ["model.pth", "config.json"])
def test_half_written_version(registry: Registry, missing: str) -> None:
    """Latest passes over a half-written version; pinned, it is refused with what is missing."""
    shutil.copytree(folder(registry), folder(registry, 2))
    (folder(registry, 2) / missing).unlink()
    assert registry.resolve("eurusd") == 1
    with pytest.raises(ModelLoadError, match=f"half-written: {missing} missing"):
        registry.load("eurusd", 2)
    shutil.rmtree(folder(registry))
    with pytest.raises(ModelLoadError, match="half-written"):
        registry.load("eurusd")


def test_a_save_that_fails_leaves_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses midway there is no new version and no litter."""

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        registry.save("eurusd", build(), CONFIG)
    assert [entry.name for entry in (registry.path / "eurusd").iterdir()] == ["1"]


@pytest.mark.parametrize("place", ["btcusd.pth", "btcusd/model.pth"])
def test_bare_weights_are_refused(registry: Registry, place: str) -> None:
    """Weights without a version and a config are refused with where to put them."""
    path = registry.path / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    with pytest.raises(ModelLoadError, match="put it at") as caught:
        registry.load("btcusd")
    assert caught.value.path == path
    with pytest.raises(ModelLoadError, match="put it at"):
        Registry(path).load("btcusd")

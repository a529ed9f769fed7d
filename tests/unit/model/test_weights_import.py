"""Laws of MODEL_PATH: weights become a version of the default model, once, with a config that fits, or are refused."""

import dataclasses
import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from model import version_import
from model.errors import ModelLoadError, ModelNameError
from model.model_config import FeatureRange, ModelConfig, Normalisation
from model.network import HybridNetwork
from model.registry import Registry
from model.weights_import import import_original
from tests.support.tiny_model import CONFIG, NAME, TINY, WINDOWS, Trap, build, saved_bytes

# Its numbers are exact in float32, so that they survive the journey through the weights.
OTHER = dataclasses.replace(
    CONFIG,
    feature_normalisation=Normalisation(mean=(0.25,) * 50, standard_deviation=(0.75,) * 50, clip=5),
    target_normalisation=Normalisation(mean=(2**-15, 2**-10), standard_deviation=(2**-9, 2**-9)),
)
RANGE = FeatureRange(lower=(-1.0,) * 50, upper=(1.0,) * 50)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry that is not there yet."""
    return Registry(tmp_path / "registry")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A bare state dictionary, normalised otherwise than any version in the registry."""
    path = tmp_path / "given" / "cnn_lstm_hybrid.pth"
    path.parent.mkdir()
    path.write_bytes(saved_bytes(build(OTHER).state_dict()))
    return path


def run(registry: Registry, path: Path | None) -> tuple[str, int] | None:
    """Import into the default model of these tests."""
    return import_original(registry, model_path=path, default_model=NAME)


def refusal(registry: Registry, path: Path) -> ModelLoadError:
    """Why it is not imported; no version was made."""
    before = registry.versions(NAME)
    with pytest.raises(ModelLoadError) as caught:
        run(registry, path)
    assert registry.versions(NAME) == before
    assert caught.value.remedy
    return caught.value


def write_config(path: Path, config: ModelConfig) -> None:
    """Put a config beside weights."""
    (path.parent / "config.json").write_text(config.to_json())


def test_nothing_to_import(registry: Registry) -> None:
    """Without MODEL_PATH nothing happens, and no folder is made."""
    assert run(registry, None) is None
    assert not registry.path.exists()


def test_weights_with_their_config_beside_them(registry: Registry, weights: Path) -> None:
    """They are version 1 of the default model, in a registry that is made for them, under that config."""
    write_config(weights, dataclasses.replace(OTHER, feature_range=RANGE))
    assert run(registry, weights) == (NAME, 1)
    loaded = registry.load(NAME)
    assert (registry.path / NAME / "1" / "model.pth").read_bytes() == weights.read_bytes()
    assert loaded.config == dataclasses.replace(OTHER, feature_range=RANGE, sha256=loaded.sha256)


def test_the_same_weights_are_imported_once(registry: Registry, weights: Path) -> None:
    """Every start imports; only the first makes a version. Other weights are the next one."""
    write_config(weights, OTHER)
    assert [run(registry, weights) for _ in range(3)] == [(NAME, 1)] * 3
    assert run(Registry(registry.path), weights) == (NAME, 1)
    weights.write_bytes(saved_bytes(build(OTHER).state_dict()))
    assert run(registry, weights) == (NAME, 2)


def test_bare_weights_borrow_the_config_of_the_newest_version_they_fit(registry: Registry, weights: Path) -> None:
    """All but what is the lender's own: the normalisation is the weights', figures and training range are left out."""
    lender = dataclasses.replace(CONFIG, prediction_horizon=9, feature_range=RANGE, training={"accuracy": 0.4})
    registry.save(NAME, build(), CONFIG)
    registry.save(NAME, build(), lender, WINDOWS)
    unfit = dataclasses.replace(CONFIG, network=dataclasses.replace(TINY, head_hidden=12))
    registry.save(NAME, build(unfit), unfit)
    assert run(registry, weights) == (NAME, 4)
    loaded = registry.load(NAME, 4)
    assert loaded.config == dataclasses.replace(
        OTHER,
        prediction_horizon=9,
        training={"imported_from": "cnn_lstm_hybrid.pth", "config_of": f"{NAME} version 2"},
        sha256=loaded.sha256,
        golden_sha256=registry.load(NAME, 2).config.golden_sha256,
    )
    assert torch.equal(loaded.network.feature_mean, torch.full((50, 1), 0.25))


def test_another_models_config_may_be_borrowed(registry: Registry, weights: Path) -> None:
    """Where the default model has no version yet, any model of the architecture lends; a damaged one does not."""
    registry.save("btcusd", build(), CONFIG)
    registry.save("broken", build(), CONFIG)
    (registry.path / "broken" / "1" / "config.json").write_text("{")
    assert run(registry, weights) == (NAME, 1)
    assert registry.load(NAME).config.training["config_of"] == "btcusd version 1"


def test_bare_weights_that_fit_nothing_are_refused(registry: Registry, weights: Path) -> None:
    """With what to write and where, and with the first misfit."""
    error = refusal(registry, weights)
    assert error.path == weights
    assert str(weights.parent / "config.json") in error.remedy
    unfit = dataclasses.replace(CONFIG, network=dataclasses.replace(TINY, head_hidden=12))
    registry.save(NAME, build(unfit), unfit)
    error = refusal(registry, weights)
    assert f"{NAME} version 1: does not fit" in error.reason


def test_a_folder_may_be_named(registry: Registry, weights: Path) -> None:
    """One with a model.pth, or with a single .pth of any name; with several, or none, it is not clear which."""
    write_config(weights, OTHER)
    assert run(registry, weights.parent) == (NAME, 1)
    shutil.copy(weights, weights.parent / "another.pth")
    assert "holds 2 .pth files" in refusal(registry, weights.parent).reason
    shutil.copy(weights, weights.parent / "model.pth")
    assert run(registry, weights.parent) == (NAME, 1)
    (weights.parent / "empty").mkdir()
    assert "holds 0 .pth files" in refusal(registry, weights.parent / "empty").reason


def test_a_registrys_own_version_may_be_named(registry: Registry, tmp_path: Path) -> None:
    """A complete version elsewhere is imported with its golden windows."""
    Registry(tmp_path / "other").save("any", build(), CONFIG, WINDOWS)
    assert run(registry, tmp_path / "other" / "any" / "1") == (NAME, 1)
    assert registry.load(NAME).golden is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "plain tensors"),
        (b"weights", "plain tensors"),
        (saved_bytes([1]), "state dictionary"),
        (saved_bytes({"model_state_dict": {}, "epoch": 3}), "state dictionary"),
        (saved_bytes({"a": torch.zeros(3)}), "feature_clip is missing|feature_mean is missing"),
        (saved_bytes(dict(build().state_dict()) | {"feature_mean": torch.full((50, 1), torch.nan)}), "normalisation"),
        (saved_bytes(dict(build().state_dict()) | {"feature_deviation": torch.zeros(50, 1)}), "normalisation"),
        (saved_bytes(dict(build().state_dict()) | {"feature_clip": torch.zeros(0)}), "clip"),
        (saved_bytes(dict(build().state_dict()) | {"ensemble.bias": torch.full((5, 7), torch.inf)}), "non-finite"),
    ],
)
def test_what_are_no_weights_of_this_network_is_refused(
    registry: Registry, weights: Path, content: bytes, words: str
) -> None:
    """Refused with the file and the reason, whatever it is."""
    registry.save(NAME, build(), CONFIG)
    weights.write_bytes(content)
    error = refusal(registry, weights)
    assert error.path == weights
    assert any(word in error.reason for word in words.split("|")), error.reason


def test_code_in_bare_weights_does_not_run(registry: Registry, weights: Path, tmp_path: Path) -> None:
    """With a config beside them or without."""
    weights.write_bytes(saved_bytes({"a": Trap(tmp_path / "sprung")}))
    refusal(registry, weights)
    write_config(weights, OTHER)
    refusal(registry, weights)
    assert not (tmp_path / "sprung").exists()


def test_a_config_beside_them_that_is_not_theirs_is_refused(registry: Registry, weights: Path) -> None:
    """Another hash, another normalisation, another format, or none at all: never replaced by a borrowed one."""
    registry.save(NAME, build(), CONFIG)
    path = weights.parent / "config.json"
    write_config(weights, dataclasses.replace(OTHER, sha256="0" * 64))
    assert "sha256 is" in refusal(registry, weights).reason
    write_config(weights, CONFIG)
    assert "normalisation" in refusal(registry, weights).reason
    path.write_text(json.dumps({"model_type": "CNNLSTMHybridModel", "input_dim": 50}))
    error = refusal(registry, weights)
    assert (error.path, "model_type" in error.reason, "tickserve train" in error.remedy) == (path, True, True)
    path.write_text("")
    assert refusal(registry, weights).path == path


def test_a_path_to_nothing_is_refused(registry: Registry, tmp_path: Path) -> None:
    """A file that is not there is told by its path, as is a registry that is none."""
    assert refusal(registry, tmp_path / "none.pth").path == tmp_path / "none.pth"
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelLoadError, match="not a registry"):
        run(Registry(tmp_path / "file"), tmp_path / "none.pth")


def test_a_name_that_cannot_be_stored_is_refused(registry: Registry, weights: Path) -> None:
    """The default model's name becomes a folder's."""
    with pytest.raises(ModelNameError):
        import_original(registry, model_path=weights, default_model="../up")


def test_a_read_only_registry_refuses_with_the_remedy(
    registry: Registry, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has already is found without writing; what is new is refused."""
    write_config(weights, OTHER)
    assert run(registry, weights) == (NAME, 1)

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(version_import, "write_version", refuse)
    assert run(registry, weights) == (NAME, 1)
    weights.write_bytes(saved_bytes(build(OTHER).state_dict()))
    error = refusal(registry, weights)
    assert "Permission denied" in error.reason
    assert str(registry.path / NAME) in error.remedy


def test_a_stretched_normalisation_is_not_unrolled(registry: Registry, weights: Path) -> None:
    """A normalisation of the wrong length is refused before it is made a list."""
    registry.save(NAME, build(), CONFIG)
    weights.write_bytes(saved_bytes(dict(HybridNetwork(TINY).state_dict()) | {"feature_mean": torch.zeros(2_000_000)}))
    assert "normalisation" in refusal(registry, weights).reason

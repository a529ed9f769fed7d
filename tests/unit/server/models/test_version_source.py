"""Laws of the registry as a source: what settings ask for is what is loaded, and other files are another version."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.engine_plan import EngineChoice
from model.model_config import FeatureRange
from model.registry import Registry
from server.config.live_settings import LiveSettings
from server.models import version_source
from server.models.version_source import RegistrySource
from tests.support.fakes import FakeEngine
from tests.support.registry import NAME, make_config, make_registry
from tests.support.service import settings_for


class Loader:
    """Stands for `model.model_loader.ModelLoader`; remembers what it was asked for."""

    asked: dict[str, Any]
    caches: list[object]

    def __init__(self, registry: Registry, cache: object) -> None:
        self._registry = registry
        type(self).caches = [cache]

    def load(self, name: str, version: int, choice: EngineChoice, **options: Any) -> SimpleNamespace:
        """Reads the version's config."""
        type(self).asked = {"name": name, "version": version, "choice": choice, **options}
        config = self._registry.config(name, version)
        return SimpleNamespace(
            name=name,
            version=version,
            sha256=config.sha256,
            config=config,
            engine=FakeEngine(),
            warm_up={1: 0.5},
            memory_bytes=7,
            load_seconds=0.0,
        )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of one version; tests that change files make their own."""
    return make_registry(tmp_path_factory.mktemp("registry"), versions=1)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RegistrySource]:
    """Makes a source whose versions cost nothing to load."""
    monkeypatch.setattr(version_source, "ModelLoader", Loader)
    return lambda path, **settings: RegistrySource(Registry(path), LiveSettings(settings_for(path, **settings)))


def test_the_settings_choose_the_engine_and_the_warm_up(make: Callable[..., RegistrySource], registry: Path) -> None:
    """No batch is warmed up that the scheduler would not form."""
    source = make(registry, scheduler={"max_batch_size": 8}, engine_threads=2)
    for beside_service in (False, True):
        served = source.load((NAME, 1), beside_service=beside_service)
        assert Loader.asked == {
            "name": NAME,
            "version": 1,
            "choice": EngineChoice(kind="torchscript", precision="fp32", threads=2),
            "warm_up_sizes": (1, 2, 4, 8),
            "beside_service": beside_service,
        }
    assert (served.key, served.warm_up, served.memory_bytes) == ((NAME, 1), {1: 0.5}, 7)
    assert served.sha256 == served.config.sha256


def test_without_a_cache_nothing_is_kept(make: Callable[..., RegistrySource], registry: Path) -> None:
    """As the settings say; a home folder is spelt out."""
    make(registry, models={"compiled_cache": ""})
    assert Loader.caches == [None]
    make(registry, models={"compiled_cache": "~/compiled"})
    [cache] = Loader.caches
    assert getattr(cache, "path", None) == Path("~/compiled").expanduser()


def test_what_training_spanned_is_usual(make: Callable[..., RegistrySource], tmp_path: Path) -> None:
    """With a recorded range just that; without, what the normalisation does not clip."""
    make_registry(tmp_path, versions=1)
    source = make(tmp_path)
    clipped = source.load((NAME, 1), beside_service=False)
    normalisation = make_config().feature_normalisation
    mean, deviation = np.array(normalisation.mean), np.array(normalisation.standard_deviation)
    assert normalisation.clip is not None
    assert np.allclose(clipped.lower[:, 0], mean - normalisation.clip * deviation, rtol=1e-5)
    assert np.allclose(clipped.upper[:, 0], mean + normalisation.clip * deviation, rtol=1e-5)

    ranged = FeatureRange(lower=tuple(range(50)), upper=tuple(range(1, 51)))
    config = dataclasses.replace(make_config(), feature_range=ranged)
    registry = Registry(tmp_path)
    assert registry.save(NAME, registry.load(NAME, 1).network, config) == 2
    served = source.load((NAME, 2), beside_service=False)
    window = np.tile(np.arange(50, dtype=np.float32)[:, None], (1, 60))
    assert not served.is_out_of_distribution(window)
    assert not served.is_out_of_distribution(window + 1)
    window[49, 59] += 1.5
    assert served.is_out_of_distribution(window)


def test_other_files_are_another_version(make: Callable[..., RegistrySource], tmp_path: Path) -> None:
    """Whatever of weights, config and golden windows is written anew; a look alone changes nothing."""
    make_registry(tmp_path, versions=2)
    source, key = make(tmp_path), (NAME, 1)
    seen = {source.identity(key)}
    Registry(tmp_path).load(NAME, 1)
    assert source.identity(key) in seen
    folder = tmp_path / NAME / "1"
    for name in ("model.pth", "config.json", "golden.npy"):
        path = folder / name
        path.write_bytes(path.read_bytes() if path.exists() else b"new")
        os.utime(path, ns=(0, len(seen)))  # however coarse the file system's clock is
        assert source.identity(key) not in seen
        seen.add(source.identity(key))
    assert None not in seen
    (tmp_path / NAME / "1").rename(tmp_path / NAME / "old")
    (tmp_path / NAME / "2").rename(folder)
    assert source.identity(key) not in seen | {None}


def test_a_registry_that_comes_back_holds_the_same_versions(
    make: Callable[..., RegistrySource], tmp_path: Path
) -> None:
    """What is not there has no identity, and neither has half a version."""
    path = make_registry(tmp_path / "registry", versions=1)
    source, key = make(path), (NAME, 1)
    before = source.identity(key)
    path.rename(tmp_path / "away")
    assert source.identity(key) is None
    (tmp_path / "away").rename(path)
    assert source.identity(key) == before
    (path / NAME / "1/config.json").unlink()
    assert source.identity(key) is None
    assert source.identity(("nobody", 1)) is None

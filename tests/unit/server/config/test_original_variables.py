"""Laws of the original's variables: honoured where nothing of ours is set, and never beside it."""

import os
from pathlib import Path

import pytest

from model.errors import ModelLoadError
from model.registry import Registry
from server import launcher
from server.config.original_variables import ORIGINAL_VARIABLES
from server.config.settings import Settings, SettingsError, load_settings
from server.launcher import running
from tests.support.tiny_model import CONFIG, NAME, build, saved_bytes


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from outside, and a folder without a file."""
    for name in os.environ:
        if name.upper().startswith(("TICKSERVE_", "BATCH_CONFIG_PROFILE", *ORIGINAL_VARIABLES.values())):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_they_are_those_of_the_original_manifests() -> None:
    """By the setting that each one sets."""
    assert dict(ORIGINAL_VARIABLES) == {"registry": "MODEL_REGISTRY_PATH", "model_path": "MODEL_PATH"}


def test_they_set_what_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone they are in force; empty or unset they are not."""
    assert (load_settings().registry, load_settings().model_path) == (Path("registry"), None)
    monkeypatch.setenv("MODEL_REGISTRY_PATH", "/models")
    monkeypatch.setenv("MODEL_PATH", "/models/cnn_lstm_hybrid.pth")
    settings = load_settings()
    assert (settings.registry, settings.model_path) == (Path("/models"), Path("/models/cnn_lstm_hybrid.pth"))
    monkeypatch.setenv("MODEL_REGISTRY_PATH", "")
    monkeypatch.setenv("MODEL_PATH", "")
    assert (load_settings().registry, load_settings().model_path) == (Path("registry"), None)


def test_every_other_source_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file over them, our variables over the file, arguments over all; a profile says nothing of either."""
    monkeypatch.setenv("MODEL_REGISTRY_PATH", "/original")
    monkeypatch.setenv("MODEL_PATH", "/original.pth")
    assert load_settings(profile="market_hours").registry == Path("/original")
    (tmp_path / "tickserve.toml").write_text('registry = "/file"\nmodel_path = "/file.pth"\n')
    assert (load_settings().registry, load_settings().model_path) == (Path("/file"), Path("/file.pth"))
    monkeypatch.setenv("TICKSERVE_REGISTRY", "/ours")
    monkeypatch.setenv("TICKSERVE_MODEL_PATH", "")
    assert (load_settings().registry, load_settings().model_path) == (Path("/ours"), None)
    assert load_settings(registry=Path("/argument")).registry == Path("/argument")


def test_settings_that_travel_take_nothing_from_over_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain data they become the same settings, whatever the original's variables say where they arrive."""
    settings = load_settings()
    monkeypatch.setenv("MODEL_REGISTRY_PATH", "/original")
    monkeypatch.setenv("MODEL_PATH", "/original.pth")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("engine", ["openvino", "cuda"])
def test_what_is_not_compiled_needs_no_engine(engine: str) -> None:
    """An engine that compiles contradicts `compile: false`, by name."""
    with pytest.raises(SettingsError, match=f"which {engine} cannot"):
        load_settings(engine=engine, compile=False)
    assert load_settings(engine=engine).engine_kind() == engine


def test_the_launcher_imports_before_it_starts_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights that MODEL_PATH names are in the registry when Ray starts; bad ones are refused, and nothing starts."""

    class StartedError(Exception):
        """The service would start now."""

    def start(*_: object) -> None:
        raise StartedError

    monkeypatch.setattr(launcher, "require_free", start)
    given = tmp_path / "given"
    given.mkdir()
    (given / "cnn_lstm_hybrid.pth").write_bytes(saved_bytes(build().state_dict()))
    monkeypatch.setenv("MODEL_PATH", str(given / "cnn_lstm_hybrid.pth"))
    settings = load_settings(default_model=NAME)
    with pytest.raises(ModelLoadError, match=r"no config\.json beside it"), running(settings):
        pass
    (given / "config.json").write_text(CONFIG.to_json())
    for _ in range(2):
        with pytest.raises(StartedError), running(settings):
            pass
    assert Registry(settings.registry).versions(NAME) == (1,)

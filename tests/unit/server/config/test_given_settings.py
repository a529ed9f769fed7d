"""Laws of settings that were given: nothing else is asked."""

from pathlib import Path

import pytest

from server.config.given_settings import GivenSettings
from server.config.settings import Settings


def test_neither_file_nor_environment_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A replica that starts while the file is being edited has the settings in force, not the half-written ones."""
    given = Settings(grpc_port=9100).model_dump(mode="json")
    file = tmp_path / "edited.toml"
    file.write_text("max_queue_size = 7\n[unfinished", encoding="utf-8")
    monkeypatch.setenv("TICKSERVE_CONFIG", str(file))
    monkeypatch.setenv("TICKSERVE_GRPC_PORT", "not a port")
    assert GivenSettings(**given).model_dump(mode="json") == given
    assert GivenSettings.model_validate(given).grpc_port == 9100


def test_bounds_hold_all_the_same() -> None:
    """What is given is validated as ever."""
    with pytest.raises(ValueError, match="grpc_port"):
        GivenSettings(grpc_port=-1)

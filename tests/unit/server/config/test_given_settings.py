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


@pytest.mark.parametrize(
    "group",
    [
        {"windows": {"store": "redis", "redis_url": "http://u:0secret0@h"}},
        {"windows": {"redis_url": "redis://u:0secret0@h", "redis_connections": 0}},
        {"cache": {"redis_url": "redis+sentinel://u:0secret0@h"}},
        {"halts": {"redis_url": "h:0secret0"}, "limits": {"redis_url": "redis://:0secret0@ h"}},
    ],
)
def test_what_is_wrong_is_told_without_what_was_given(group: dict[str, object]) -> None:
    """The message goes to Ray's logs."""
    with pytest.raises(ValueError, match="redis") as caught:
        GivenSettings(**group)  # type: ignore[arg-type]
    assert "0secret0" not in str(caught.value)
    assert "0secret0" not in repr(caught.value)

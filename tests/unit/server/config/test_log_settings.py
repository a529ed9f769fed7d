"""Laws of the settings of both logs: what cannot be meant is refused by its name."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server.config.decision_settings import DecisionSettings
from server.config.log_settings import LogLevel, LogSettings
from server.config.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from server.app import serve_config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "xml"),
        ("level", "loud"),
        ("refusal_interval", 0),
        ("refusal_interval", float("nan")),
        ("queue_size", 0),
        ("colour", True),
    ],
)
def test_a_log_that_cannot_be_meant_is_refused(name: str, value: object) -> None:
    """With the setting's name."""
    with pytest.raises(ValidationError, match=name):
        LogSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "always"), ("max_bytes", 1000), ("files", 1), ("queue_size", 0), ("folder", "/x")],
)
def test_a_decision_log_that_cannot_be_meant_is_refused(name: str, value: object) -> None:
    """With the setting's name."""
    with pytest.raises(ValidationError, match=name):
        DecisionSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [None, ""])
def test_a_decision_log_needs_a_folder(path: str | None) -> None:
    """The message says what to set; off needs none, and an empty path is none."""
    values: dict[str, Any] = {"path": path}
    with pytest.raises(ValidationError, match=r"set decisions\.path"):
        DecisionSettings(mode="required", **values)
    assert DecisionSettings(**values).path is None


def test_replicas_write_where_the_launcher_would() -> None:
    """A relative folder is settled before it travels: replicas run in another directory."""
    settings = Settings(decisions=DecisionSettings(mode="best_effort", path=Path("log")))
    arguments = serve_config(settings)["applications"][0]["args"]
    assert arguments["decisions"]["path"] == str(Path("log").absolute())


def test_the_log_is_live_and_reaches_ray_serve() -> None:
    """Another level or form needs no new replica; Ray Serve's own first lines follow it."""
    settings = Settings(log=LogSettings(format="console", level="warning"))
    deployment = serve_config(settings)["applications"][0]["deployments"][0]
    assert deployment["user_config"]["log"]["level"] == "warning"
    assert (deployment["logging_config"]["encoding"], deployment["logging_config"]["log_level"]) == ("TEXT", "WARNING")


@pytest.mark.parametrize(
    ("access_log", "level", "expected"),
    [(False, "info", "WARNING"), (False, "debug", "DEBUG"), (False, "error", "ERROR"), (True, "info", "INFO")],
)
def test_ray_serve_makes_no_record_of_calls_for_nobody(access_log: bool, level: LogLevel, expected: str) -> None:
    """It makes one of each call at the level of information, and drops it where the access log is off."""
    settings = Settings(access_log=access_log, log=LogSettings(level=level))
    [deployment] = serve_config(settings)["applications"][0]["deployments"]
    assert deployment["logging_config"]["log_level"] == expected

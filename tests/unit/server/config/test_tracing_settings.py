"""Laws of the tracing settings: off unless asked for, nothing that cannot be sent, and no secret is printed."""

import pytest
from pydantic import ValidationError

from server.config.live_settings import LIVE_FIELDS
from server.config.tracing_settings import TracingSettings


def test_nothing_leaves_the_machine_unasked() -> None:
    """No collector is assumed; with one, one request in a hundred is traced."""
    settings = TracingSettings()
    assert not settings.enabled
    assert settings.sample_ratio == 0.01
    assert not settings.symbols


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_ratio", 1.01),
        ("sample_ratio", -0.1),
        ("sample_ratio", float("nan")),
        ("queue_size", 0),
        ("export_timeout", 0),
        ("export_timeout", float("inf")),
        ("endpoint", "http://a b"),
        ("headers", {"Authorization": "x"}),
        ("headers", {"authorization": "line\nbreak"}),
        ("batch_size", 5),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name: str, value: object) -> None:
    """gRPC, for one, refuses upper-case metadata at every export, long after the start."""
    with pytest.raises(ValidationError, match=name):
        TracingSettings.model_validate({name: value})


def test_no_secret_is_printed() -> None:
    """Headers hold tokens."""
    settings = TracingSettings(headers={"authorization": "Bearer hush"})
    assert "hush" not in repr(settings)
    assert settings.headers["authorization"] == "Bearer hush"


def test_all_of_it_is_live() -> None:
    """Tracing is switched on while something goes wrong, not before."""
    assert "tracing" in LIVE_FIELDS

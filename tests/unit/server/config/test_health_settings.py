"""Laws of the health settings: checks are seldom or off, and bounds are told by name."""

import pytest

from server.config.settings import SettingsError, load_settings


@pytest.mark.parametrize("interval", [0, 1, 10, 86_400])
def test_an_interval_is_off_or_at_least_a_second(interval: float) -> None:
    """0 stands for on demand only."""
    assert load_settings(health={"deep_interval": interval}).health.deep_interval == interval


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deep_interval", 0.5),
        ("deep_interval", -1),
        ("deep_interval", float("nan")),
        ("deep_patience", 0),
        ("deep_patience", 61),
        ("degraded_above", 0),
        ("deep_intervall", 1),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(name: str, value: float) -> None:
    """So is what is misspelt."""
    with pytest.raises(SettingsError, match=f"health.{name}"):
        load_settings(health={name: value})


def test_the_default_is_the_original_designs() -> None:
    """Every 10 s, healthy under 100 ms."""
    health = load_settings().health
    assert (health.deep_interval, health.degraded_above) == (10.0, 0.1)

"""Laws of the routes as an operator writes them: what contradicts itself is refused with its field and the remedy."""

from typing import Any

import pytest

from scripts.layering import ROOT
from server.config.route_settings import RouteSettings
from server.config.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stable": 2, "candidate": 2}, "name another one"),
        ({"stable": 2, "shadow": 2}, "shadow must be another version"),
        ({"percent": 20}, "name a candidate, or set percent to 0"),
        ({"candidate": 2, "percent": 101}, "routes.m.percent"),
        ({"candidate": 2, "percent": -1}, "routes.m.percent"),
        ({"candidate": 2, "percent": float("nan")}, "routes.m.percent"),
        ({"candidate": 0}, "routes.m.candidate"),
        ({"stable": -1}, "routes.m.stable"),
        ({"shadow": 0}, "routes.m.shadow"),
        ({"window": 0}, "routes.m.window"),
        ({"min_requests": 0}, "routes.m.min_requests"),
        ({"max_error_rate": 1.5}, "routes.m.max_error_rate"),
        ({"max_late_rate": -0.1}, "routes.m.max_late_rate"),
        ({"max_disagreement": 2}, "routes.m.max_disagreement"),
        ({"compared_percent": 101}, "routes.m.compared_percent"),
        ({"precent": 20}, "routes.m.precent"),
    ],
)
def test_a_bad_route_is_refused_by_its_field(values: dict[str, Any], words: str) -> None:
    """The message names the model, the field and the way out."""
    with pytest.raises(SettingsError) as refused:
        load_settings(routes={"m": values})
    assert "routes.m" in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["", "No", "a:b", "-a", "a" * 65])
def test_a_route_is_for_a_name_that_a_model_can_have(name: str) -> None:
    """A route under a name that no model has would be ignored."""
    with pytest.raises(SettingsError, match="routes"):
        load_settings(routes={name: {}})


def test_the_least_route_changes_nothing() -> None:
    """The latest version answers everything."""
    route = RouteSettings()
    assert (route.stable, route.candidate, route.percent, route.shadow) == (0, None, 0.0, None)
    assert route.versions() == ()


def test_the_versions_are_those_that_are_named() -> None:
    """The latest has no number."""
    assert RouteSettings(stable=1, candidate=3, shadow=4).versions() == (1, 3, 4)
    assert RouteSettings(candidate=3).versions() == (3,)


def test_routes_come_from_the_environment_and_travel_as_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one JSON value; and what a replica is sent is what was read."""
    monkeypatch.setenv("TICKSERVE_ROUTES", '{"cnn_lstm": {"stable": 1, "candidate": 2, "percent": 0.5}}')
    settings = load_settings()
    assert settings.routes == {"cnn_lstm": RouteSettings(stable=1, candidate=2, percent=0.5)}
    assert Settings(**settings.model_dump(mode="json")).routes == settings.routes


def test_the_rollout_guide_lists_every_key_with_its_default() -> None:
    """The table in docs/rollout.md is what the settings say."""
    text = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    for name, field in RouteSettings.model_fields.items():
        assert f"| `{name}` | `{field.default}` | {field.description} |" in text

"""Laws of the profiles: each is complete, the weakest source of settings, and never chosen by a mistake."""

import os
from pathlib import Path

import pytest

from server.config.profiles import PROFILE_VARIABLE, PROFILES
from server.config.settings import Settings, SettingsError, load_settings

NAMES = ["market_hours", "off_hours", "stress_test", "legacy"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from outside, and a folder without a file."""
    for name in os.environ:
        if name.upper().startswith(("TICKSERVE_", PROFILE_VARIABLE)):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal_of(**overrides: object) -> str:
    """Returns why settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_there_are_the_four_of_the_design() -> None:
    """No more and no fewer."""
    assert sorted(PROFILES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_valid_as_it_stands(name: str) -> None:
    """What is in force is the profile's, value by value, and the scheduler takes it."""
    settings, profile = load_settings(profile=name), PROFILES[name]
    assert settings.profile == name
    for field in type(profile).model_fields:
        assert getattr(settings, field) == getattr(profile, field)
    assert settings.scheduler.to_config().max_batch_size == profile.scheduler.max_batch_size


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_complete(name: str) -> None:
    """It names batch size, delay, adaptive and compile, and waits and timeouts of every class, not by default."""
    profile = PROFILES[name]
    assert profile.model_fields_set == set(type(profile).model_fields)
    assert profile.scheduler.model_fields_set >= {"max_batch_size", "max_queue_delay", "max_wait", "adaptive"}
    for group in (profile.scheduler.max_wait, profile.default_timeouts):
        assert group.model_fields_set == {"real_time", "standard", "background"}


def test_market_hours_are_the_originals() -> None:
    """64 windows and 5 ms, adaptive and compiled."""
    settings = load_settings(profile="market_hours")
    assert (settings.scheduler.max_batch_size, settings.scheduler.max_queue_delay) == (64, 0.005)
    assert (settings.scheduler.adaptive, settings.compile) == (True, True)


def test_legacy_is_what_was_replaced() -> None:
    """32 windows and 10 ms, neither adaptive nor refusing by prediction nor compiled."""
    settings = load_settings(profile="legacy")
    assert (settings.scheduler.max_batch_size, settings.scheduler.max_queue_delay) == (32, 0.01)
    assert (settings.scheduler.adaptive, settings.scheduler.admission, settings.compile) == (False, False, False)
    assert settings.engine_kind() == "eager"


def test_the_strongest_source_names_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Argument before TICKSERVE_PROFILE before file before the original's variable before none."""
    assert load_settings().profile == ""
    monkeypatch.setenv(PROFILE_VARIABLE, "legacy")
    assert load_settings().profile == "legacy"
    assert load_settings().scheduler == PROFILES["legacy"].scheduler
    (tmp_path / "tickserve.toml").write_text('profile = "stress_test"\n')
    assert load_settings().scheduler == PROFILES["stress_test"].scheduler
    monkeypatch.setenv("TICKSERVE_PROFILE", "off_hours")
    assert load_settings().scheduler == PROFILES["off_hours"].scheduler
    settings = load_settings(profile="market_hours")
    assert (settings.profile, settings.scheduler) == ("market_hours", PROFILES["market_hours"].scheduler)


def test_what_is_set_singly_wins_from_any_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One value changes, and its neighbours in the same group stay the profile's."""
    (tmp_path / "tickserve.toml").write_text("max_timeout = 200\n[scheduler.max_wait]\nstandard = 0.7\n")
    monkeypatch.setenv("TICKSERVE_SCHEDULER__MAX_BATCH_SIZE", "17")
    monkeypatch.setenv("TICKSERVE_COMPILE", "true")
    settings = load_settings(profile="legacy", default_timeouts={"real_time": 0.5})
    legacy = PROFILES["legacy"]
    assert (settings.max_timeout, settings.scheduler.max_batch_size, settings.compile) == (200.0, 17, True)
    assert (settings.scheduler.max_queue_delay, settings.scheduler.adaptive) == (0.01, False)
    assert settings.default_timeouts == legacy.default_timeouts.model_copy(update={"real_time": 0.5})
    assert settings.scheduler.max_wait == legacy.scheduler.max_wait.model_copy(update={"standard": 0.7})


@pytest.mark.parametrize("name", ["nightly", "MARKET_HOURS", "market_hours "])
def test_an_unknown_profile_is_refused_with_its_field(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nobody trades a day under the wrong one; where the original's variable is to blame, its value is told."""
    assert "profile" in refusal_of(profile=name)
    assert PROFILE_VARIABLE not in refusal_of(profile=name)
    monkeypatch.setenv(PROFILE_VARIABLE, name)
    message = refusal_of()
    assert f"{PROFILE_VARIABLE} is {name!r}" in message
    assert "legacy" in message


def test_a_stronger_source_hides_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original's variable is not looked at where ours is set."""
    monkeypatch.setenv(PROFILE_VARIABLE, "nightly")
    assert load_settings(profile="legacy").profile == "legacy"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"scheduler": {"max_queue_delay": 0.1}}, "scheduler.max_queue_delay"),
        ({"profile": "market_hours", "default_timeouts": {"real_time": 0.005}}, "default_timeouts.real_time"),
        ({"scheduler": {"max_queue_size": 8193}}, "max_queue_size"),
        ({"profile": "stress_test", "scheduler": {"max_queue_size": 4096}}, "max_total_queue_size"),
        ({"compile": False, "engine": "openvino"}, "compile"),
        ({"profile": "legacy", "engine": "openvino"}, "compile"),
        ({"profile": "stress_test", "default_timeouts": {"background": 61}}, "default_timeouts.background"),
        ({"scheduler": {"max_batch_duration": 30}}, "max_batch_duration"),
        ({"scheduler": {"max_wait": {"standard": 0}}}, "scheduler.max_wait.standard"),
        ({"scheduler": {"promotion_share": 1}}, "scheduler.promotion_share"),
        ({"scheduler": {"max_wait": {"fast": 1}}}, "scheduler.max_wait.fast"),
    ],
)
def test_values_that_contradict_are_refused_by_name(overrides: dict[str, object], field: str) -> None:
    """Also where one of the two comes from a profile."""
    assert field in refusal_of(**overrides)


def test_a_profile_survives_the_journey_to_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in force there is what was read here, whatever profile the environment over there names."""
    settings = load_settings(profile="off_hours", scheduler={"max_batch_size": 5})
    plain = load_settings()
    monkeypatch.setenv(PROFILE_VARIABLE, "legacy")
    for sent in (settings, plain):
        assert Settings(**sent.model_dump(mode="json")) == sent
        assert Settings.model_validate_json(sent.model_dump_json()) == sent

"""Laws of the settings of autoscaling: what contradicts itself is refused with the remedy, and what wins over what."""

import warnings
from typing import Any

import pytest
from pydantic import ValidationError

from server.autoscaling.scale_options import actor_options, scale_options
from server.config.autoscaling_settings import AutoscalingSettings
from server.config.given_settings import GivenSettings
from server.config.scale_profiles import SCALE_PROFILES
from server.config.settings import Settings, load_settings

GIB = 1024**3


def settings(autoscaling: dict[str, Any] | None = None, **values: Any) -> Settings:
    """Returns settings with shared windows."""
    return GivenSettings(**{"windows": {"allow_split": True}, "autoscaling": autoscaling or {}, **values})


@pytest.mark.parametrize(
    ("autoscaling", "others", "said"),
    [
        ({"profile": "calendar"}, {}, "needs calendars"),
        ({"calendars": ["XNYS"]}, {}, "profile calendar only"),
        ({"open": {"min_replicas": 3}}, {}, "profile calendar only"),
        ({"profile": "calendar", "calendars": ["NYSE-ish"]}, {}, "no calendar; take an exchange's market identifier"),
        ({"min_replicas": 21}, {}, "above max_replicas 20 of profile default; set both"),
        ({"min_replicas": 0}, {}, "greater than or equal to 1"),
        (
            {"look_back_period_s": 49},
            {},
            "look_back_period_s 49 is below 5 x metrics_interval_s 10.* raise it to 50 or",
        ),
        ({"metrics_interval_s": 30}, {}, "raise it to 150 or lower metrics_interval_s"),
        ({"enabled": True}, {}, "needs replica_cpus or autoscaling.resources"),
        ({"enabled": True}, {"replica_cpus": 1, "windows": {}}, "windows that they share: set windows.store to redis"),
        ({"profile": "legacy"}, {}, "profile"),
        ({"target_num_ongoing_requests_per_replica": 5}, {}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(autoscaling: dict[str, Any], others: dict[str, Any], said: str) -> None:
    """With the key, and what to do."""
    with pytest.raises(ValidationError, match=said):
        settings(autoscaling, **others)


def test_one_replica_needs_no_shared_windows() -> None:
    """Nor do bounds that are not in force."""
    one = settings({"enabled": True, "max_replicas": 1, "min_replicas": 1}, replica_cpus=1, windows={})
    assert one.autoscaling.most_replicas(one.replicas) == 1
    off = settings({"max_replicas": 9}, windows={})
    assert off.autoscaling.most_replicas(off.replicas) == 1


def test_the_number_of_replicas_is_not_used_with_autoscaling() -> None:
    """It bounds nothing, and contradicts nothing."""
    made = [settings({"enabled": True}, replica_cpus=1, replicas=replicas) for replicas in (1, 999)]
    assert scale_options(made[0]) == scale_options(made[1])


def test_the_shortest_look_back_shows_every_report() -> None:
    """Ray Serve takes points so often that none lies between two that are sent, at the bound as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at import
        from ray.serve._private.constants import RAY_SERVE_AUTOSCALING_METRIC_RECORD_INTERVAL_FACTOR as FACTOR
    scale = AutoscalingSettings(metrics_interval_s=10, look_back_period_s=50)
    assert scale.look_back_period_s * FACTOR >= scale.metrics_interval_s


def test_the_environment_reaches_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the reference of all settings names them."""
    for name, value in {
        "ENABLED": "true",
        "PROFILE": "calendar",
        "CALENDARS": '["XLON", "24x5"]',
        "OPEN__MIN_REPLICAS": "4",
        "QUEUE_TIME__REAL_TIME": "0.01",
        "RESOURCES": "large",
    }.items():
        monkeypatch.setenv(f"TICKSERVE_AUTOSCALING__{name}", value)
    monkeypatch.setenv("TICKSERVE_WINDOWS__ALLOW_SPLIT", "true")
    read = load_settings().autoscaling
    assert read.calendars == ("XLON", "24x5")
    assert read.open_profile.min_replicas == 4
    assert read.queue_time.real_time == 0.01
    assert read.cpus() == 4


def test_what_is_set_wins_over_the_profile() -> None:
    """And for one phase over what is set for both; all else is the profile's."""
    scale = AutoscalingSettings(
        profile="calendar",
        calendars=("XNYS",),
        max_replicas=12,
        open={"profile": "stress_test"},  # type: ignore[arg-type]
        closed={"max_replicas": 4},  # type: ignore[arg-type]
    )
    assert scale.open_profile == SCALE_PROFILES["stress_test"].model_copy(update={"max_replicas": 12})
    assert scale.closed_profile == SCALE_PROFILES["off_hours"].model_copy(update={"max_replicas": 4})


def test_bounds_span_the_day() -> None:
    """Ray Serve is told the fewest and the most of all hours; without autoscaling the number is the number."""
    by_day = {"enabled": True, "profile": "calendar", "calendars": ["XNYS"], "resources": "small"}
    config = scale_options(settings(by_day))["autoscaling_config"]
    assert (config["min_replicas"], config["max_replicas"]) == (2, 30)
    assert (config["metrics_interval_s"], config["look_back_period_s"]) == (10, 120)
    assert scale_options(settings(replicas=3)) == {"num_replicas": 3}


@pytest.mark.parametrize(
    ("size", "values", "expected"),
    [
        ("", {"replica_cpus": 3}, {"num_cpus": 3}),
        ("small", {}, {"num_cpus": 1, "memory": GIB}),
        ("medium", {}, {"num_cpus": 2, "memory": 2 * GIB}),
        ("large", {}, {"num_cpus": 4, "memory": 4 * GIB}),
        ("large", {"replica_cpus": 6}, {"num_cpus": 6, "memory": 4 * GIB}),
        ("small", {"engine": "cuda"}, {"num_cpus": 1, "memory": GIB, "num_gpus": 0.25}),
        ("medium", {"engine": "cuda"}, {"num_cpus": 2, "memory": 2 * GIB, "num_gpus": 0.5}),
        ("large", {"engine": "cuda"}, {"num_cpus": 4, "memory": 4 * GIB, "num_gpus": 1.0}),
        # By the batch, where no size is named: min(1, max_batch / 128).
        ("", {"engine": "cuda", "replica_cpus": 1}, {"num_cpus": 1, "num_gpus": 0.5}),
        (
            "",
            {"engine": "cuda", "replica_cpus": 1, "scheduler": {"max_batch_size": 256}},
            {"num_cpus": 1, "num_gpus": 1.0},
        ),
        (
            "",
            {"engine": "cuda", "replica_cpus": 1, "scheduler": {"max_batch_size": 1}},
            {"num_cpus": 1, "num_gpus": 0.01},
        ),
    ],
)
def test_a_replica_gets_what_its_size_says(size: str, values: dict[str, Any], expected: dict[str, Any]) -> None:
    """A share of a GPU where the engine is cuda, and nowhere else."""
    assert actor_options(settings({"resources": size}, **values)) == expected

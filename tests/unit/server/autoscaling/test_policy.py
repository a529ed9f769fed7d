"""Laws of what Ray Serve's controller calls, with Ray Serve's own types and its own wrapper around a policy."""

import json
import logging
import subprocess
import sys
import warnings
from typing import Any

import pytest

from scripts.layering import ROOT
from server.autoscaling.demand import CLASSES
from server.autoscaling.policy_arguments import policy_arguments, read_told, whole_settings
from server.autoscaling.replica_reports import BUSY, ONGOING, metric
from server.autoscaling.scale_options import scale_options
from server.config.autoscaling_settings import AutoscalingSettings
from server.config.given_settings import GivenSettings
from server.config.settings import Settings
from server.serve_config import cluster_config

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from ray.serve._private.autoscaling_state import _resolve_policy_callable
    from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
    from ray.serve._private.config import DeploymentConfig
    from ray.serve._private.deploy_utils import get_app_code_version
    from ray.serve.autoscaling_policy import _apply_autoscaling_config
    from ray.serve.config import AutoscalingConfig, AutoscalingContext
    from ray.serve.schema import ServeApplicationSchema

# Ray's remark on a field that it still honours.
pytestmark = pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")

DEPLOYMENT = DeploymentID(name="predictor", app_name="tickserve")


def settings(**autoscaling: Any) -> Settings:
    """Returns settings with autoscaling."""
    scale = {"enabled": True, "resources": "small", **autoscaling}
    return GivenSettings.model_validate({"windows": {"allow_split": True}, "autoscaling": scale})


def configured(**autoscaling: Any) -> AutoscalingConfig:
    """Returns what Ray Serve makes of the options."""
    return AutoscalingConfig(**scale_options(settings(**autoscaling))["autoscaling_config"])


def context(
    config: AutoscalingConfig,
    *,
    now: float,
    running: int,
    target: int,
    ongoing: float = 0.0,
    streams: float = 0.0,
    state: dict[str, Any] | None = None,
) -> AutoscalingContext:
    """Returns what Ray Serve hands to a policy: every replica has reported this very second."""
    replicas = [ReplicaID(unique_id=f"r{number}", deployment_id=DEPLOYMENT) for number in range(running)]
    values = {"running_requests": streams, metric(ONGOING, CLASSES[1]): ongoing, BUSY: min(1.0, ongoing / 5)}
    raw = {name: {each: [TimeStampedValue(now, value)] for each in replicas} for name, value in values.items()}
    return AutoscalingContext(
        deployment_id=DEPLOYMENT,
        deployment_name=DEPLOYMENT.name,
        app_name=DEPLOYMENT.app_name,
        current_num_replicas=running,
        target_num_replicas=target,
        running_replicas=replicas,
        total_num_requests=running * (ongoing + streams),
        total_queued_requests=0.0,
        aggregated_metrics=dict,
        raw_metrics=lambda: raw,
        capacity_adjusted_min_replicas=config.min_replicas,
        capacity_adjusted_max_replicas=config.max_replicas,
        policy_state=state or {},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=now,
        config=config,
    )


class Controller:
    """Calls a policy as Ray Serve's controller does: pickled, made, wrapped, and asked every tenth of a second."""

    def __init__(self, **autoscaling: Any) -> None:
        self.config = configured(**autoscaling)
        # Through the bytes in which it travels.
        self.policy = _apply_autoscaling_config(_resolve_policy_callable(self.config.policy))
        self.state: dict[str, Any] = {}
        self.now = 1e9
        self.running = self.target = 0

    def tick(self, count: int = 1, **load: float) -> None:
        """Lets as many tenths of a second pass; replicas come and go at once."""
        for _ in range(count):
            self.now += 0.1
            made = context(
                self.config, now=self.now, running=self.running, target=self.target, state=self.state, **load
            )
            self.target, self.state = self.policy(made)
            self.running = self.target


def test_it_scales_up_and_down_in_the_controllers_own_wrapper() -> None:
    """Ray Serve's delays and factors do nothing, the profile's hold: 30 s up, then 300 s down by half."""
    controller = Controller()
    controller.tick()
    assert controller.target == 2
    controller.tick(290, ongoing=20.0)
    assert controller.target == 2
    controller.tick(20, ongoing=20.0)
    assert controller.target == 8
    controller.tick(2900)
    assert controller.target == 8
    controller.tick(200)
    assert controller.target == 4


def test_open_streams_are_no_load() -> None:
    """Ray Serve counts each as a request without end; ten thousand of them change no decision."""
    with_streams, without = Controller(), Controller()
    for ongoing in (0.0, 8.0, 20.0, 0.0):
        with_streams.tick(400, ongoing=ongoing, streams=10_000.0)
        without.tick(400, ongoing=ongoing)
        assert with_streams.target == without.target


def test_an_error_keeps_the_number_and_is_logged_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A policy that raised would keep Ray Serve from updating anything; one that logged each time would fill a disk."""
    policy = _resolve_policy_callable(configured().policy)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("server.autoscaling.scaler.Scaler.decide", broken)
    caplog.clear()
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        for _ in range(50):
            number, state = policy(context(configured(), now=1e9, running=7, target=7))
            assert number == 7
            assert isinstance(state, dict)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None


def test_reports_of_another_shape_are_survived() -> None:
    """An older replica in the middle of an update may report less, or what is not ours alone."""
    policy = _resolve_policy_callable(configured().policy)
    made = context(configured(), now=1e9, running=3, target=3)
    made._raw_metrics_value = {"running_requests": made.raw_metrics["running_requests"], "other": {}}
    assert policy(made)[0] == 3


def test_a_new_policy_leaves_the_replicas_that_run() -> None:
    """Every change of a setting makes one, without any state: it must not go back to the number of the start."""
    controller = Controller()
    controller.tick()
    controller.tick(310, ongoing=20.0)
    assert controller.target == 8
    controller.policy = _apply_autoscaling_config(_resolve_policy_callable(controller.config.policy))
    controller.state = {}
    controller.tick(20, ongoing=5.0)
    assert controller.target == 8
    assert controller.config.initial_replicas is None


def test_bounds_and_target_are_those_that_ray_serve_is_told_now() -> None:
    """Not those of the policy's arguments: they may change without a new build."""
    controller = Controller()
    controller.tick()
    assert controller.target == 2
    controller.config = configured(min_replicas=3, max_replicas=6, target_ongoing_requests=10)
    controller.tick(10)
    assert controller.target == 3
    controller.tick(310, ongoing=15.0)
    assert controller.target == 5
    controller.tick(350, ongoing=90.0)
    assert controller.target == 6


def test_settings_that_contradict_each_other_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A configuration written by hand must not stop the controller when it starts."""
    config = configured().model_copy(update={"look_back_period_s": 1.0})
    caplog.clear()
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        policy = _resolve_policy_callable(config.policy)
        assert policy(context(config, now=1e9, running=3, target=3))[0] == 3
    assert "look_back_period_s 1 is below" in caplog.text


def code_version(made: Settings) -> str:
    """Returns by what Ray Serve tells whether it must build the application anew."""
    [app] = cluster_config(made, one_node=True)["applications"]
    return str(get_app_code_version(ServeApplicationSchema.model_validate(app)))


LIVE: dict[str, dict[str, Any]] = {
    "min_replicas": {"min_replicas": 3},
    "max_replicas": {"max_replicas": 9},
    "target_ongoing_requests": {"target_ongoing_requests": 7},
    "metrics_interval_s": {"metrics_interval_s": 5},
    "look_back_period_s": {"look_back_period_s": 60},
    "resources": {"resources": "large"},
}
BUILT: dict[str, dict[str, Any]] = {
    "profile": {"profile": "market_hours"},
    "upscale_delay_s": {"upscale_delay_s": 1},
    "downscale_delay_s": {"downscale_delay_s": 1},
    "upscaling_factor": {"upscaling_factor": 3},
    "downscaling_factor": {"downscaling_factor": 3},
    "queue_time": {"queue_time": {"standard": 0.1}},
    "misses": {"misses": {"standard": 0.1}},
    "busy": {"busy": 0.5},
    "pre_scale": {"pre_scale": 60},
    "calendars": {"profile": "calendar", "calendars": ["XNYS"]},
    "open": {"profile": "calendar", "calendars": ["XNYS"], "open": {"min_replicas": 6}},
    "closed": {"profile": "calendar", "calendars": ["XNYS"], "closed": {"min_replicas": 1}},
}


def of_cluster(autoscaling: dict[str, Any], **values: Any) -> Settings:
    """Returns settings that mean the same on every node."""
    scale = {"enabled": True, "resources": "small", **autoscaling}
    windows = {"allow_split": True}
    return GivenSettings.model_validate({"registry": "/srv", "windows": windows, "autoscaling": scale, **values})


@pytest.mark.parametrize("change", LIVE.values(), ids=LIVE)
def test_more_or_fewer_replicas_need_no_new_build(change: dict[str, Any]) -> None:
    """By Ray Serve's own mark: a build cuts every call for seconds, and replaces all replicas."""
    assert code_version(of_cluster(change)) == code_version(of_cluster({}))


def test_nor_does_their_number_without_autoscaling() -> None:
    """Whether it is on or not; but turning it on is one, since a policy comes into force."""
    for scale in ({}, {"enabled": False}):
        assert code_version(of_cluster(scale, replicas=4)) == code_version(of_cluster(scale, replicas=1))
    assert code_version(of_cluster({"enabled": False})) != code_version(of_cluster({}))


@pytest.mark.parametrize("change", BUILT.values(), ids=BUILT)
def test_what_only_the_policy_knows_needs_one(change: dict[str, Any]) -> None:
    """As docs/autoscaling.md says."""
    assert code_version(of_cluster(change)) != code_version(of_cluster({}))


def test_by_the_clock_bounds_need_one_as_well() -> None:
    """Ray Serve has fields for one profile, and the clock knows two."""
    by_clock = {"profile": "calendar", "calendars": ["XNYS"]}
    for name in ("metrics_interval_s", "look_back_period_s", "resources"):
        assert code_version(of_cluster(by_clock | LIVE[name])) == code_version(of_cluster(by_clock))
    for name in ("min_replicas", "max_replicas", "target_ongoing_requests"):
        assert code_version(of_cluster(by_clock | LIVE[name])) != code_version(of_cluster(by_clock))


def test_every_setting_is_live_or_built() -> None:
    """And the page names those that are live."""
    assert {*LIVE, *BUILT, "enabled"} == set(AutoscalingSettings.model_fields)
    page = (ROOT / "docs/autoscaling.md").read_text(encoding="utf-8")
    [said] = [line for line in page.splitlines() if line.startswith("| live |")]
    assert {name for name in AutoscalingSettings.model_fields if f"`{name}`" in said} == set(LIVE)


@pytest.mark.parametrize("profile", [{}, {"profile": "calendar", "calendars": ["XLON"], "open": {"max_replicas": 40}}])
def test_arguments_and_configuration_together_are_the_settings(profile: dict[str, Any]) -> None:
    """Through the form in which the configuration travels to the controller, to which sizes do not matter."""
    given = {"busy": 0.6, "upscale_delay_s": 4, "metrics_interval_s": 2, "look_back_period_s": 33.5, **profile}
    made = settings(**given, min_replicas=4, max_replicas=11, target_ongoing_requests=2.5).autoscaling
    sent = DeploymentConfig(autoscaling_config=configured(**made.model_dump()), num_replicas=None).to_proto_bytes()
    config = DeploymentConfig.from_proto_bytes(sent).autoscaling_config
    arguments = policy_arguments(made)
    read = whole_settings(arguments, read_told(arguments, config))
    assert read.profiles() == made.profiles()
    assert read.model_dump(exclude={"enabled", "resources"}) == made.model_dump(exclude={"enabled", "resources"})


def test_what_travels_is_plain_data() -> None:
    """It is written as YAML, and compared as JSON."""
    options = scale_options(settings(profile="calendar", calendars=["XNYS", "24x5"]))
    assert json.loads(json.dumps(options)) == options
    assert AutoscalingConfig(**options["autoscaling_config"]).max_replicas == 30
    assert AutoscalingConfig(**options["autoscaling_config"]).min_replicas == 2


def test_the_controller_loads_neither_engines_nor_pandas() -> None:
    """It deploys, scales and replaces; what it imports for us must not stop it for seconds."""
    code = (
        "import sys, server.autoscaling.policy\n"
        "print([name for name in ('torch', 'openvino', 'pandas', 'exchange_calendars', 'ray') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

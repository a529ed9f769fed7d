"""The Helm chart tells Ray Serve what the code would tell it: settings, profiles, options and environment."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from scripts import helm_chart
from server.config.cluster_faults import cluster_faults
from server.config.settings import Settings, load_settings
from server.renewal import MARK
from server.runtime_env import ray_environment
from server.serve_config import cluster_config
from tests.support.documented import ROOT
from tests.support.helm_chart import Release, rendered
from tests.support.helm_matrix import MATRIX

CASES = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads a settings file of a release, as the service does."""

    def read(release: Release, name: str = "tickserve.toml") -> Settings:
        for variable in list(os.environ):
            if variable.startswith("TICKSERVE_") or variable in ("MODEL_PATH", "MODEL_REGISTRY_PATH"):
                monkeypatch.delenv(variable)
        file = tmp_path / name
        file.write_text(release.settings_file(name), encoding="utf-8")
        monkeypatch.setenv("TICKSERVE_CONFIG", str(file))
        return load_settings()

    return read


def unmarked(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the text of its mark left out: each writer has one of its own."""
    made = copy.deepcopy(config)
    for application in made["applications"]:
        for deployment in application["deployments"]:
            options = deployment["ray_actor_options"]
            options["resources"] = {name.startswith(MARK): value for name, value in options["resources"].items()}
    return made


def mark(release: Release) -> str:
    """Returns the mark of a release's replicas."""
    [deployment] = release.serve_config["applications"][0]["deployments"]
    [name] = deployment["ray_actor_options"]["resources"]
    assert isinstance(name, str)
    return name


def test_the_generated_files_follow_from_the_code() -> None:
    """Nobody has edited them, and nothing in the code has moved on without them."""
    for path, text in helm_chart.files().items():
        assert path.read_text(encoding="utf-8") == text, "python -m scripts.helm_chart generate"


@CASES
def test_ray_serve_is_told_what_the_code_tells_it(values: dict[str, Any], load: Any) -> None:
    """The chart's serveConfigV2 is what `tickserve config` prints for the chart's own settings file."""
    release = rendered(values)
    assert unmarked(release.serve_config) == unmarked(cluster_config(load(release)))


@CASES
def test_the_settings_are_for_a_cluster(values: dict[str, Any], load: Any) -> None:
    """Nothing in them depends on the machine that Helm runs on, or is another thing on each node."""
    assert cluster_faults(load(rendered(values)), one_node=False) == []


@CASES
def test_every_ray_process_has_the_environment_of_the_code(values: dict[str, Any], load: Any) -> None:
    """Head and workers have the variables of `tickserve env` for these settings, and the same ones; each once.

    Kubernetes takes no variable twice: an operator's own value comes instead of the chart's.
    """
    release = rendered(values)
    wanted = ray_environment(load(release)) | {"RAY_SERVE_HAPROXY_MAXCONN": "20000"}
    found = []
    for part in ("head", "worker"):
        [container] = release.pod(part).containers
        found.append(container["env"])
        plain = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        extra = {each["name"]: each["value"] for each in values.get("extraEnv", [])}
        assert plain == wanted | extra
        assert len(plain) + ("TICKSERVE_EDGE_SECRET" in str(container["env"])) == len(container["env"])
    assert found[0] == found[1]


def test_a_given_setting_reaches_the_replicas(load: Any) -> None:
    """The settings that the matrix gives are in what the replicas are told, false and zero as well."""
    given: dict[str, Any] = dict(MATRIX["settings"]["settings"])
    [deployment] = rendered(MATRIX["settings"]).serve_config["applications"][0]["deployments"]

    def within(part: Any, whole: Any) -> bool:
        if isinstance(part, dict):
            return all(within(value, whole[name]) for name, value in part.items())
        return bool(part == whole)

    assert within(given, deployment["user_config"])


def test_live_settings_change_no_mark_and_others_do() -> None:
    """Replicas are replaced for what needs new ones, and for nothing else: not for another number of them either."""
    before = mark(rendered())
    assert mark(rendered({"settings": {"scheduler": {"max_batch_size": 8}, "replica_cpus": 2}})) == before
    assert mark(rendered({"replicaCount": 3})) == before
    assert mark(rendered({"settings": {"max_symbols": 5, "replica_cpus": 2}})) == before
    assert mark(rendered({"settings": {"precision": "fp32"}})) != before
    assert mark(rendered({"settings": {"heartbeat_interval": 31}})) == before
    assert mark(rendered({"settings": {"stream_max_age": 31}})) != before


def test_a_profile_is_weaker_than_what_is_set_singly() -> None:
    """As in the service itself."""
    [deployment] = rendered(MATRIX["profile"]).serve_config["applications"][0]["deployments"]
    told = deployment["user_config"]
    assert told["scheduler"]["max_batch_size"] == 96
    assert told["scheduler"]["max_batch_duration"] == 0.1
    assert told["max_timeout"] == 600


@CASES
def test_the_edge_reads_its_file(values: dict[str, Any], load: Any) -> None:
    """The edge's settings can be used, and agree with the pods: ports, bounds, certificates."""
    release = rendered(values)
    if not values.get("edge", {}).get("enabled", True):
        assert "edge.toml" not in release.one("ConfigMap", "-configs")["data"]
        return
    pod = release.pod("edge")
    [container] = pod.containers
    settings = load(release, "edge.toml")
    assert {"grpcs": settings.tls.grpc_port, "https": settings.tls.http_port} == pod.ports
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    files = [settings.tls.cert, settings.tls.key] + ([settings.tls.client_ca] if settings.tls.client_ca else [])
    assert all(str(file.parent) in mounts for file in files if file is not None)
    serve = json.dumps(release.serve_config)
    assert f'"max_streams_per_connection": {settings.max_streams_per_connection}' in serve
    assert settings.host == "0.0.0.0"


def test_the_chart_is_of_the_code_s_version() -> None:
    """The image that it names by default is that of this repository, and Ray's version the one that is installed."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    chart = (ROOT / "deploy/helm/tickserve/Chart.yaml").read_text(encoding="utf-8")
    [version] = [line.split('"')[1] for line in project.splitlines() if line.startswith("version = ")]
    assert f'appVersion: "{version}"' in chart
    assert f'"ray[serve]=={rendered().ray["rayVersion"]}"' in project

"""Laws of what Ray Serve is told: the launcher's application and the YAML for a cluster say the same."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from server.config.cluster_faults import ClusterSettingsError
from server.config.given_settings import GivenSettings
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings
from server.renewal import MARK
from server.serve_config import cluster_config, deployment_options, serve_config, settled

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from ray.serve.deployment import deployment_to_schema
    from ray.serve.schema import ServeDeploySchema

    from server.app import application


def cluster_settings(**overrides: Any) -> Settings:
    """Returns settings that mean the same on every node."""
    values: dict[str, Any] = {
        "host": "0.0.0.0",
        "security": {"allow_insecure_public_bind": True},
        "registry": "/srv/registry",
        "replicas": 3,
        "replica_cpus": 2.0,
        "windows": {"store": "redis", "redis_url": "redis://redis.internal:6379/0"},
    }
    return GivenSettings(**values | overrides)


def deployment_of(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the one deployment of a configuration."""
    [app] = config["applications"]
    [deployment] = app["deployments"]
    assert isinstance(deployment, dict)
    return deployment


def parsed(config: dict[str, Any]) -> dict[str, Any]:
    """Returns what Ray Serve's own schema reads of the deployment."""
    [app] = ServeDeploySchema.model_validate(config).applications
    [deployment] = app.deployments
    return said(deployment)


def said(deployment: Any) -> dict[str, Any]:
    """Returns the options that were set, with all that is in them, as JSON may say it."""
    values: dict[str, Any] = deployment.model_dump(mode="json", include=deployment.model_fields_set)
    return values


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"replicas": 1, "max_surge_percent": 100, "max_symbols": 7},
        {"access_log": True, "log": {"format": "console", "level": "warning"}, "replica_cpus": 0.5},
    ],
)
def test_launcher_and_yaml_agree_in_every_option(overrides: dict[str, Any]) -> None:
    """What the application says of its deployment is what the YAML says, and it leaves nothing out."""
    settings = cluster_settings(**overrides)
    ours = said(deployment_to_schema(application(settings)._bound_deployment))
    assert parsed(serve_config(settings)) == ours
    assert ours.keys() == deployment_options(settings).keys()


def test_a_cluster_gets_the_same_options_and_all_settings() -> None:
    """Beside the mark in its resources and the settings that travel with the live ones, nothing differs."""
    settings = cluster_settings()
    local, cluster = deployment_of(serve_config(settings)), deployment_of(cluster_config(settings))
    arguments = serve_config(settings)["applications"][0]["args"]
    [(mark, amount)] = cluster["ray_actor_options"].pop("resources").items()
    assert (mark.startswith(MARK), amount) == (True, 0.0)
    sent = cluster.pop("user_config")
    # A home of this machine has no place in it.
    sent["models"]["compiled_cache"] = local["user_config"]["models"]["compiled_cache"]
    assert sent == {**arguments, **local.pop("user_config")}
    assert cluster == local


def test_a_replica_of_a_cluster_has_the_settings_that_were_printed() -> None:
    """Whatever the building of the application found on its node, each setting is sent."""
    settings = cluster_settings(engine="torchscript", max_symbols=7)
    sent = deployment_of(cluster_config(settings))["user_config"]
    assert sent.keys() == Settings.model_fields.keys()
    received = GivenSettings(**json.loads(json.dumps(sent)))
    assert received == settings.model_copy(update={"engine_threads": 1})


def test_no_change_of_settings_builds_the_application_anew() -> None:
    """Its arguments stay as they are; the mark follows the settings that need new replicas, and those alone."""
    first = cluster_config(cluster_settings())

    def mark(config: dict[str, Any]) -> list[str]:
        return list(deployment_of(config)["ray_actor_options"]["resources"])

    live = cluster_config(cluster_settings(max_symbols=7))
    scaled = cluster_config(cluster_settings(replicas=9, max_surge_percent=50))
    other = cluster_config(cluster_settings(engine="torchscript"))
    assert mark(live) == mark(scaled) == mark(first) != mark(other)
    for changed in (first, live, scaled, other):
        assert changed["applications"][0]["args"] == {}
    assert "max_symbols" in LIVE_FIELDS


def test_no_file_of_a_node_has_a_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What builds the application for a cluster reads neither variables nor files, and cannot fail by them."""
    made = cluster_config(cluster_settings())
    [module, name] = made["applications"][0]["import_path"].split(":")
    builder = getattr(sys.modules[module], name)
    monkeypatch.setattr("server.app.runtime_env.check", lambda: None)
    monkeypatch.setattr("server.app.start_ingress", lambda _: None)
    monkeypatch.setenv("TICKSERVE_CONFIG", str(tmp_path / "not there"))
    monkeypatch.setenv("TICKSERVE_NO_SUCH_SETTING", "1")
    assert builder(made["applications"][0]["args"])._bound_deployment.name == "predictor"


def test_weights_to_import_reach_the_building() -> None:
    """It is where they are imported, so it must know them and the registry."""
    settings = cluster_settings(model_path="/srv/weights.pth", default_model="old")
    expected = {"registry": "/srv/registry", "model_path": "/srv/weights.pth", "default_model": "old"}
    assert cluster_config(settings)["applications"][0]["args"] == expected


def test_paths_of_this_machine_are_settled_before_they_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas run in another directory: every path that the launcher sends is absolute, groups' own included."""
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {
        "registry": "models",
        "halts": {"folder": "halts"},
        "metrics": {"directory": "counted"},
        "security": {"keys_file": "~/keys"},
    }
    settings = Settings(**values)
    made = settled(settings)
    assert made.registry == tmp_path / "models"
    assert made.halts.folder == tmp_path / "halts"
    assert made.metrics.directory == tmp_path / "counted"
    assert made.security.keys_file == Path("~/keys").expanduser()
    assert made.models.compiled_cache == Path("~/.cache/tickserve").expanduser()
    assert made.model_path is None
    assert deployment_of(serve_config(settings))["user_config"]["models"]["compiled_cache"] == str(
        made.models.compiled_cache
    )


def test_what_depends_on_this_machine_is_not_printed_for_others() -> None:
    """All faults are told at once, by key and with a remedy."""
    with pytest.raises(ClusterSettingsError) as caught:
        cluster_config(Settings())
    for key in ("replica_cpus", "registry", "host", "halts"):
        assert f"{key}: " in str(caught.value)


def test_an_update_never_empties_the_pool() -> None:
    """Unless told otherwise, at least one new replica starts before an old one stops."""
    assert deployment_of(cluster_config(cluster_settings()))["max_surge_percent"] > 0

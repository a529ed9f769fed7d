"""What the Helm chart takes from the code: `python -m scripts.helm_chart generate`, or `check`.

Helm knows no Python, so defaults, profiles, the deployment's fixed options and Ray's environment are written down for
its templates. Owns those two files; a test compares what the templates make of them with what the code makes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts import helm_schema
from server.autoscaling.scale_options import scale_options
from server.config.given_settings import GivenSettings
from server.config.live_settings import LIVE_FIELDS
from server.config.profiles import PROFILES
from server.config.resource_presets import RESOURCES
from server.config.route_settings import RouteSettings
from server.config.scale_profiles import SCALE_PROFILES
from server.config.settings import Settings
from server.renewal import MARK
from server.runtime_env import ray_environment
from server.serve_config import SCALE_FIELDS, cluster_config, deployment_options

CHART = Path(__file__).resolve().parent.parent / "deploy/helm/tickserve"
# What a cluster's machines must each decide for themselves, and pods need not: HAProxy's own bound of 4,096 connections
# is less than an edge may hold open. HAProxy starts only where a process may open three descriptors for each.
OF_PODS = {"RAY_SERVE_HAPROXY_MAXCONN": "20000"}
# Of the deployment's options, those that follow from settings.
_FOLLOWING = ("num_replicas", "max_surge_percent", "user_config", "ray_actor_options", "logging_config")


def files() -> dict[Path, str]:
    """Returns the text of each file that follows from the code."""
    return {
        CHART / "files/tickserve.json": _text(facts()),
        CHART / "values.schema.json": _text(helm_schema.schema()),
    }


def facts() -> dict[str, Any]:
    """Returns what the chart's templates need to know of the code."""
    settings = GivenSettings()
    options = deployment_options(settings)
    application = _application(settings)
    scaled = GivenSettings.model_validate(
        {"autoscaling": {"enabled": True}, "windows": {"allow_split": True}, "replica_cpus": 1}
    )
    return {
        "application": {name: value for name, value in application.items() if isinstance(value, str)},
        "autoscaling": scale_options(scaled)["autoscaling_config"],
        "deployment": {name: value for name, value in options.items() if name not in _FOLLOWING},
        "environment": ray_environment(settings) | OF_PODS,
        "live": sorted(LIVE_FIELDS),
        "mark": MARK,
        "profiles": {name: profile.model_dump(mode="json") for name, profile in PROFILES.items()},
        "rayVersion": version("ray"),
        "resources": {name: asdict(resources) for name, resources in RESOURCES.items()},
        "route": RouteSettings().model_dump(mode="json"),
        "scale": sorted(SCALE_FIELDS),
        "scaleProfiles": {name: profile.model_dump(mode="json") for name, profile in SCALE_PROFILES.items()},
        "settings": settings.model_dump(mode="json"),
    }


def _application(settings: Settings) -> dict[str, Any]:
    """Returns what a cluster's Ray Serve is told of the application, for settings that would do on one."""
    sized = settings.model_copy(update={"replica_cpus": 1.0, "registry": Path("/models")})
    found: dict[str, Any] = cluster_config(sized, one_node=True)["applications"][0]
    return found


def _text(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def main(argument: str) -> None:
    """Writes the files, or fails where one is not what it should be."""
    for path, text in files().items():
        if argument == "generate":
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{path} does not follow from the code: python -m scripts.helm_chart generate")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "check")

"""The configuration of the whole service, as `serve deploy` and KubeRay's RayService take it.

The one place of what Ray Serve is told: the launcher's application and the YAML for a cluster are made of the same
options. Pure, and free of Ray: it runs where nothing of a cluster is installed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from server.autoscaling.scale_options import actor_options, scale_options
from server.config.cluster_faults import ClusterSettingsError, cluster_faults
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings
from server.renewal import renewed

APPLICATION = "tickserve"
DEPLOYMENT = "predictor"
# Said in the deployment's own section: another number of replicas needs no new ones. They travel as live settings do,
# or a new replica would hold the number of the start against settings that are valid with another.
SCALE_FIELDS = frozenset({"replicas", "autoscaling", "max_surge_percent"})
# What building the application needs, where it has weights to import.
_BUILD_FIELDS = ("registry", "model_path", "default_model")
# Functions that build the application: from this machine's settings, and from what they are given alone.
_BUILD, _GIVEN = "server.app:build", "server.app:build_given"

Group = TypeVar("Group", bound=BaseModel)


def deployment_options(settings: Settings) -> dict[str, Any]:
    """Returns the options of the deployment, as `serve.deployment` takes them and the YAML names them."""
    return {
        "name": DEPLOYMENT,
        **scale_options(settings),
        "max_surge_percent": settings.max_surge_percent,
        "user_config": settings.model_dump(mode="json", include=set(LIVE_FIELDS | SCALE_FIELDS)),
        # Far above any load: the scheduler's queue must see every request, for it alone knows which one matters.
        "max_ongoing_requests": 100_000,
        "max_queued_requests": -1,
        "ray_actor_options": actor_options(settings),
        "graceful_shutdown_timeout_s": 60.0,
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 10.0,
        "logging_config": _logging_config(settings),
    }


def serve_config(settings: Settings) -> dict[str, Any]:
    """Returns the configuration for the settings of this machine: relative paths are taken from its working directory.

    Deployed again, it changes live settings in running replicas; other changes replace them, one after the other.
    """
    return _config(settled(settings))


def cluster_config(settings: Settings, *, one_node: bool = False) -> dict[str, Any]:
    """Returns the configuration for a Ray cluster, which any machine may print for it.

    Every setting travels as `user_config`, and what new settings need new replicas for changes a mark: deployed again,
    it never makes Ray Serve build the application anew, which would leave the proxies without replicas meanwhile
    (`server.renewal`), but for what the policy of autoscaling alone knows (`server.autoscaling.policy_arguments`).

    Args:
        settings: The server's settings; nothing in them may depend on this machine.
        one_node: Whether the cluster is one machine for good.

    Raises:
        ClusterSettingsError: They would not mean the same on every node; the message names keys and remedies.
    """
    if faults := cluster_faults(settings, one_node=one_node):
        raise ClusterSettingsError(faults)
    # A `~` stays as it is: each node has a home of its own.
    config = _config(settings.model_copy(update=_sizes(settings)))
    first = copy.deepcopy(config)
    [application] = first["applications"]
    arguments = application["args"]
    application["args"] = {name: arguments[name] for name in _BUILD_FIELDS} if settings.model_path is not None else {}
    made = renewed(config, first=first)
    made["applications"][0]["import_path"] = _GIVEN
    return made


def settled(settings: Settings) -> Settings:
    """Returns the settings with all that depends on this machine or directory decided: replicas run elsewhere."""
    return _with_paths(settings, lambda path: path.expanduser().absolute()).model_copy(update=_sizes(settings))


def _sizes(settings: Settings) -> dict[str, Any]:
    """Returns the size of a replica, where it follows from other settings or this machine."""
    return {
        "replica_cpus": settings.effective_replica_cpus(),
        "engine_threads": settings.effective_engine_threads(),
    }


def _config(settings: Settings) -> dict[str, Any]:
    # Reflection is ours, because Ray Serve's own would not list health.
    servicer = "add_services_with_reflection" if settings.reflection else "add_services"
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": settings.inner_host(), "port": settings.http_port},
        "grpc_options": {
            "port": settings.grpc_port,
            "grpc_servicer_functions": [f"server.rpc.ingress.{servicer}"],
            "enable_reflection": False,
        },
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": _BUILD,
                "args": settings.model_dump(mode="json", exclude=set(LIVE_FIELDS | SCALE_FIELDS)),
                "deployments": [deployment_options(settings)],
            }
        ],
    }


def _logging_config(settings: Settings) -> dict[str, Any]:
    """Returns how Ray Serve itself logs in a replica, until `telemetry.logging_setup` takes its file over.

    It makes a record of every call, and drops it where the access log is off: a level that leaves them out saves that.
    """
    level = settings.log.level.upper()  # as in deploy/helm/tickserve/templates/_settings.tpl
    if level == "INFO" and not settings.access_log:
        level = "WARNING"
    return {
        "enable_access_log": settings.access_log,
        "encoding": "TEXT" if settings.log.format == "console" else "JSON",
        "log_level": level,
    }


def _with_paths(group: Group, change: Callable[[Path], Path]) -> Group:
    """Returns the settings, or a group of them, with every path changed; groups inside as well."""
    update: dict[str, Any] = {}
    for name, value in group:
        if isinstance(value, Path):
            update[name] = change(value)
        elif isinstance(value, BaseModel):
            update[name] = _with_paths(value, change)
    return group.model_copy(update=update)

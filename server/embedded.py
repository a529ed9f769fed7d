"""The embedded Ray instance: a process of its own that runs the application until it is told to stop.

Started by `launcher`, which outlives it and cleans up behind it: Ray's shutdown can hang, and a process that has joined
Ray cannot promise to end in time. Its arguments are the settings as JSON and the descriptor that its log goes to; it
writes lines to standard output, `ready`, `reconfigured` or `failed: <why>`.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from server import app, process_tree
from server.config.given_settings import GivenSettings
from server.config.settings import Settings
from server.deploy_failure import explained
from server.launcher import FAILED, READY, RECONFIGURED
from server.renewal import renewed
from server.telemetry.logging_setup import log_to_stream

logger = logging.getLogger("tickserve")

_STOP = "stop"
_POLL = 0.1
# What a replica takes of Ray's CPUs, which here only count who fits. Half of its own, so that the old and the new fit
# side by side: else an update would stop a replica before it starts the next, or wait for room for ever.
_SHARE = 0.5


def main(settings_json: str, log_descriptor: str) -> int:
    """Runs the application until SIGTERM; returns the exit code.

    Each line on standard input is other settings, to be put in force.
    """
    process_tree.die_with_parent()
    settings = GivenSettings.model_validate_json(settings_json)
    os.set_inheritable(int(log_descriptor), False)  # or everything that Ray starts would hold it open
    logs = log_to_stream(settings.log, os.fdopen(int(log_descriptor), "w"))
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: orders.put(_STOP))
    first = app.serve_config(settings)
    try:
        _start(settings)
    except Exception as error:
        # Whatever Ray raises here: the operator gets one line, which the launcher says.
        logger.debug("start failed", exc_info=True)
        _say(FAILED + " ".join(str(error).split())[:2000])
        return 1
    signal.signal(signal.SIGTERM, lambda *_: orders.put(_STOP))  # Ray installs a handler of its own
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    _say(READY)
    while (order := orders.get()) != _STOP:
        try:
            settings = GivenSettings.model_validate_json(order)
            logs.apply(settings.log)
            _deploy(settings, first=first)
            _say(RECONFIGURED)
        except Exception as error:
            logger.exception("the new settings were not put in force")
            _say(FAILED + " ".join(str(error).split())[:2000])
    serve.shutdown()
    ray.shutdown()
    return 0


def _read_orders(orders: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        orders.put(line)


def _deploy(settings: Settings, *, first: Mapping[str, Any]) -> None:
    """Deploys the application, or changes it, and waits until it runs.

    Raises:
        RuntimeError: Ray Serve could not deploy it, or has no room for so many replicas.
    """
    config = renewed(app.serve_config(settings), first=first)
    cpus = _SHARE * settings.effective_replica_cpus()
    room = ray.cluster_resources().get("CPU", 0.0)
    if (most := _most_replicas(settings)) * cpus > room:
        # Ray Serve would wait for room, and nobody would be told.
        raise RuntimeError(f"{most} replicas need more CPUs than the service was started with; restart it.")
    for application in config["applications"]:
        for deployment in application["deployments"]:
            options = deployment["ray_actor_options"]
            options["num_cpus"] = cpus
            # The machine is ours alone: what replicas share of it anyway must not keep the new from starting.
            for shared in ("num_gpus", "memory"):
                options.pop(shared, None)
    # By declaration, as `serve deploy` does it, and not by `serve.run`, which replaces every replica each time. Ray
    # Serve has no public function for it outside its command line and its dashboard.
    _get_global_client().deploy_apps(ServeDeploySchema(**config))
    while True:
        time.sleep(_POLL)
        status = serve.status().applications[app.APPLICATION]
        if status.status == ApplicationStatus.RUNNING:
            return
        if status.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise RuntimeError(explained(status.message, [told.message for told in status.deployments.values()]))


def _start(settings: Settings) -> None:
    ray.init(
        num_cpus=max(os.cpu_count() or 1, round(_most_replicas(settings) * settings.effective_replica_cpus())),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        # The embedded Ray is ours alone: never join a cluster that a variable happens to name.
        address="local",
    )
    app.start_ingress(settings)
    _deploy(settings, first=app.serve_config(settings))


def _most_replicas(settings: Settings) -> int:
    return settings.autoscaling.most_replicas(settings.replicas)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the launcher reads it


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

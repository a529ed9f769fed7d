"""The embedded Ray instance: a process of its own that runs the application until it is told to stop.

Started by `launcher`, which outlives it and cleans up behind it: Ray's shutdown can hang, and a process that has joined
Ray cannot promise to end in time. Reads the settings as JSON from its arguments; writes one line to standard output,
`ready` or `failed: <why>`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import ray
from ray import serve

from server import app, process_tree
from server.settings import Settings

logger = logging.getLogger("tickserve")

READY = "ready"
FAILED = "failed: "


def main(settings_json: str) -> int:
    """Runs the application until SIGTERM; returns the exit code."""
    process_tree.die_with_parent()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings.model_validate_json(settings_json)
    try:
        _start(settings)
    except Exception as error:
        # Whatever Ray raises here: the operator gets one line, the rest is in the log that the launcher keeps.
        logger.exception("start failed")
        _say(FAILED + " ".join(str(error).split())[:2000])
        return 1
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # Ray installs a handler of its own
    _say(READY)
    stop.wait()
    serve.shutdown()
    ray.shutdown()
    return 0


def _start(settings: Settings) -> None:
    ray.init(
        num_cpus=max(os.cpu_count() or 1, round(settings.replicas * settings.effective_replica_cpus())),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        # The embedded Ray is ours alone: never join a cluster that a variable happens to name.
        address="local",
    )
    app.start_ingress(settings)
    serve.run(app.application(settings), name=app.APPLICATION, route_prefix="/")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the launcher reads it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The old service's Ray instance; prints `ready` and runs until SIGTERM."""

from __future__ import annotations

import logging
import sys

import ray
from ray import serve

from benchmarks.peers.supervisor import announce_and_wait
from server import process_tree
from tests.support.legacy.deployments import APPLICATION, application


def main(registry: str, port: int) -> int:
    """Runs the application.

    Args:
        registry: Folder of the registry.
        port: Of its HTTP side, on loopback.
    """
    process_tree.die_with_parent()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": port})
    serve.run(application(registry), name=APPLICATION, route_prefix="/")
    announce_and_wait()
    serve.shutdown()
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))

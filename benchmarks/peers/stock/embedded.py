"""The stock peer's Ray instance; prints `ready` and runs until SIGTERM."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import ray
from ray import serve
from ray.serve.config import gRPCOptions

from benchmarks.peers.stock.application import StockPredictor
from benchmarks.peers.stock.echo import EchoPredictor
from benchmarks.peers.supervisor import announce_and_wait
from server import process_tree

_SERVICE = "tickserve.v1.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server"
_ECHO_SERVICE = "benchmarks.peers.stock.echo.add_to_server"


def main(arguments: dict[str, Any]) -> int:
    """Runs the application."""
    process_tree.die_with_parent()
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        address="local",
    )
    serve.start(
        proxy_location="EveryNode",
        http_options={"host": "127.0.0.1", "port": arguments["http_port"]},
        grpc_options=gRPCOptions(
            port=arguments["grpc_port"],
            grpc_servicer_functions=[_ECHO_SERVICE if arguments["echo"] else _SERVICE],
        ),
    )
    deployment = serve.deployment(
        EchoPredictor if arguments["echo"] else StockPredictor,
        name="predictor",
        # The default of 5 would never fill a batch.
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": arguments["threads"]},
    )
    name, _, version = arguments["model"].partition(":")
    model = (name, int(version), arguments["sha256"])
    application = (
        deployment.bind(model=model)
        if arguments["echo"]
        else deployment.bind(
            script=arguments["script"], model=model, threads=arguments["threads"], shape=tuple(arguments["shape"])
        )
    )
    serve.run(application, name="stock", route_prefix="/")
    announce_and_wait()
    serve.shutdown()
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

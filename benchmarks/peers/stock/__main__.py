"""Starts the stock peer under a supervisor and prints `stock ready grpc=HOST:PORT`; SIGTERM ends it without a trace."""

from __future__ import annotations

import argparse
import json
import os
import sys

from benchmarks.peers.supervisor import supervise


def main() -> int:
    """Parses the arguments and supervises `benchmarks.peers.stock.embedded`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.stock", description=__doc__)
    parser.add_argument("--script", required=True, help="TorchScript file")
    parser.add_argument("--model", required=True, help="name:version that answers carry")
    parser.add_argument("--sha256", default="", help="hash that answers carry")
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of one engine call")
    arguments = vars(parser.parse_args())
    # Ray reads its variables at import; tickserve's would turn the peer into something else.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TICKSERVE_"))}
    environment["RAY_USAGE_STATS_ENABLED"] = "0"
    return supervise(
        [sys.executable, "-m", "benchmarks.peers.stock.embedded", json.dumps(arguments)],
        environment=environment,
        announcement=f"stock ready grpc=127.0.0.1:{arguments['grpc_port']}",
    )


if __name__ == "__main__":
    sys.exit(main())

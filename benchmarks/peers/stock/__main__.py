"""Starts the stock peer under a supervisor and prints `stock ready grpc=HOST:PORT`; SIGTERM ends it without a trace.

With `--haproxy` Ray Serve's HAProxy takes the place of its Python proxy; its ports come from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from benchmarks.peers.supervisor import supervise

_PORTS = ("RAY_SERVE_HAPROXY_", "RAY_SERVE_FALLBACK_PROXY_", "RAY_SERVE_DIRECT_INGRESS_")
_COMMON = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's default of 15 would let the load generator take the server's cores; tickserve's workers run at 0, too.
    "RAY_worker_niceness": "0",
}
# What Ray's documentation asks for, and as many streams a connection as a scenario needs: 100 is the default.
_HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": "4096",
    "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": "4096",
}


def main() -> int:
    """Parses the arguments and supervises `benchmarks.peers.stock.embedded`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.stock", description=__doc__)
    parser.add_argument("--script", required=True, help="TorchScript file")
    parser.add_argument("--model", required=True, help="name:version that answers carry")
    parser.add_argument("--sha256", default="", help="hash that answers carry")
    parser.add_argument("--shape", type=int, nargs=2, required=True, help="features and steps of a window")
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of one engine call")
    parser.add_argument("--haproxy", action="store_true", help="HAProxy and direct ingress, no Python proxy")
    parser.add_argument("--echo", action="store_true", help="one constant answer, no engine: what Ray Serve costs")
    arguments = vars(parser.parse_args())
    # Ray reads its variables at import; tickserve's would turn the peer into something else.
    kept = _PORTS if arguments["haproxy"] else ()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(kept) or not name.startswith(("RAY_", "TICKSERVE_"))
    }
    environment |= _COMMON | (_HAPROXY if arguments["haproxy"] else {})
    return supervise(
        [sys.executable, "-m", "benchmarks.peers.stock.embedded", json.dumps(arguments)],
        environment=environment,
        announcement=f"stock ready grpc=127.0.0.1:{arguments['grpc_port']}",
    )


if __name__ == "__main__":
    sys.exit(main())

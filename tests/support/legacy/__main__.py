"""Starts the old service on Ray under a supervisor and prints `legacy ready http=HOST:PORT`; SIGTERM ends it all."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.peers.supervisor import supervise


def main() -> int:
    """Parses the arguments and supervises `tests.support.legacy.embedded`."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.legacy", description=__doc__)
    parser.add_argument("--registry", default="registry", help="folder of tickserve's registry")
    parser.add_argument("--port", type=int, default=8100)
    arguments = parser.parse_args()
    # Ray reads its variables at import; tickserve's would turn the old service into something else.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TICKSERVE_"))}
    environment["RAY_USAGE_STATS_ENABLED"] = "0"
    registry = str(Path(arguments.registry).absolute())
    return supervise(
        [sys.executable, "-m", "tests.support.legacy.embedded", registry, str(arguments.port)],
        environment=environment,
        announcement=f"legacy ready http=127.0.0.1:{arguments.port}",
    )


if __name__ == "__main__":
    sys.exit(main())

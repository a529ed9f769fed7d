"""One generator: a plan on the first line of standard input, `ready`, the start on the second; the result comes out.

The start is an instant of the system-wide monotonic clock, so that several generators begin together.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys

import uvloop

from benchmarks.load.driver import Generator
from benchmarks.load.plan import Plan


def main() -> int:
    """Runs one plan."""
    plan = Plan.from_json(sys.stdin.readline())
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, plan.niceness)
    generator = Generator(plan)
    # A run is bounded and leaves no cycles worth collecting; a pause of the generator would be blamed on the server.
    gc.freeze()
    gc.disable()
    _say("ready")
    start = sys.stdin.readline()
    if not start:  # the harness is gone
        return 1
    _say(json.dumps(uvloop.run(generator.run(float(start)))))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

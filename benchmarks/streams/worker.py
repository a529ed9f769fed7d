"""One generator: a plan on the first line of standard input, `ready`, the start on the second; the result comes out.

`ready` is said when all streams are open and all windows full. The start is an instant of the system-wide monotonic
clock. Between the two the streams are idle: that is how their memory is measured.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import uvloop

from benchmarks.streams.driver import Driver
from benchmarks.streams.plan import StreamPlan


async def _run(plan: StreamPlan) -> None:
    result = await Driver(plan).run(_start)
    _say(json.dumps(result))


async def _start() -> float:
    # A run is bounded and leaves no cycles worth collecting; a pause of the generator would be blamed on the server.
    gc.freeze()
    gc.disable()
    _say("ready")
    # On a thread: the streams are read meanwhile.
    return float(await asyncio.to_thread(sys.stdin.readline))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Runs one plan."""
    uvloop.run(_run(StreamPlan.from_json(sys.stdin.readline())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

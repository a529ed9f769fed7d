"""The two situations, each on a service of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.outlier.stage import Stage, stage
from benchmarks.refusals.caller import call_steadily
from benchmarks.refusals.figures import summarise
from tickserve import AsyncClient, StreamItem, TickserveError

_FAULTS = Path(__file__).resolve().parent.parent / "drill" / "faults"
_WARM_UP = 4.0
_SECONDS = 20.0
# Of the small network on one core: some hundred calls a second would be too many for it and its callers.
_RATE = 60.0
_SLOWER_BY = 0.3
_DEADLINES = {"uneven": 0.03, "black_hole": 0.2}
_STREAMED = 48
SITUATIONS = ("even", "uneven", "black_hole")


def run(situation: str, *, held: bool, source: Path) -> dict[str, Any]:
    """Plays a situation and returns its figures.

    Args:
        situation: One of `SITUATIONS`; `even` is a service without any trouble.
        held: Whether refusals are kept back.
        source: The checkout that the service is served from.

    Raises:
        benchmarks.peers.target.TargetError: The service did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control.json"
        control.write_text("{}", encoding="utf-8")
        environment = {"PYTHONPATH": str(_FAULTS), "DRILL_CONTROL": str(control)}
        if not held:
            environment["DRILL_UNHELD"] = "1"
        with stage(Path(folder), environment=environment, source=source) as on, _trouble(situation, on, control):
            figures = asyncio.run(_call(situation, on))
    return {"situation": situation, "held": held, **figures}


@contextlib.contextmanager
def _trouble(situation: str, on: Stage, control: Path) -> Iterator[None]:
    if situation == "black_hole":
        slow = {"engine_delay": _SLOWER_BY, "slow_pid": min(on.pids())}
        control.write_text(json.dumps(slow), encoding="utf-8")
    yield
    control.write_text("{}", encoding="utf-8")


async def _call(situation: str, on: Stage) -> dict[str, Any]:
    deadline = _DEADLINES.get(situation, min(_DEADLINES.values()))
    target, windows = on.server.target.address, on.windows
    async with contextlib.AsyncExitStack() as stack:
        if situation == "uneven":
            await stack.enter_async_context(_streaming(target, windows))
        # What is learned of a slow engine, and that there are two replicas, takes a moment.
        await call_steadily(target, windows, rate=_RATE, seconds=_WARM_UP, deadline=deadline, seed=1)
        began = time.process_time()
        calls = await call_steadily(target, windows, rate=_RATE, seconds=_SECONDS, deadline=deadline)
        busy = (time.process_time() - began) / _SECONDS
    return {"deadline": deadline, "rate": _RATE, "caller_cpu": round(busy, 3), **summarise(calls)}


@contextlib.asynccontextmanager
async def _streaming(target: str, windows: NDArray[np.float32]) -> AsyncIterator[None]:
    """Keeps one replica busy: a stream is one call to the proxy, whatever goes through it, and stays where it is."""
    task = asyncio.create_task(_stream(target, windows))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _stream(target: str, windows: NDArray[np.float32]) -> None:
    free = asyncio.Semaphore(_STREAMED)

    async def items() -> AsyncIterator[StreamItem]:
        number = 0
        while True:
            await free.acquire()
            yield StreamItem(request_id=f"s{os.getpid()}-{number}", window=windows[number % len(windows)])
            number += 1

    while True:
        with contextlib.suppress(TickserveError):
            async with AsyncClient(target) as client:
                answers = client.stream_predict(items(), priority="real_time", timeout=5.0, bypass_cache=True)
                async for _ in answers:
                    free.release()
        await asyncio.sleep(0.1)

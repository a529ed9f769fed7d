"""Calls at the instants of a ramp, and what became of each. An open loop: a slow answer delays no later call."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.autoscaling.ramp import Ramp
from tickserve import AsyncClient, StreamItem, TickserveError

TIMEOUT = 20.0
_CHANNELS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Called:
    """One call.

    Attributes:
        at: When it was made, Unix seconds.
        seconds: Until its answer, or its failure.
        replica: Who answered; empty if nobody did.
        error: Why it failed; empty if it was answered.
    """

    at: float
    seconds: float
    replica: str
    error: str


async def call_along(target: str, windows: NDArray[np.float32], ramp: Ramp, *, streams: int, seed: int) -> list[Called]:
    """Makes a ramp's calls, none of them twice, and returns what became of each, in order of time.

    Args:
        target: Address of the service.
        windows: What is sent, in turn.
        ramp: The load.
        streams: How many streams are open all the while, and idle: they must not count as load.
        seed: Of the instants.
    """
    clients = [AsyncClient(target, retry=None) for _ in range(_CHANNELS)]
    idle = asyncio.create_task(_keep_open(target, streams))
    tasks: list[asyncio.Task[Called]] = []
    try:
        began = time.monotonic()
        for number, instant in enumerate(ramp.instants(seed)):
            await asyncio.sleep(max(0.0, began + instant - time.monotonic()))
            call = _call(clients[number % _CHANNELS], windows[number % len(windows)])
            tasks.append(asyncio.create_task(call))
        # Not at the last call: the last replicas leave while nobody calls.
        await asyncio.sleep(max(0.0, began + ramp.seconds - time.monotonic()))
        return await asyncio.gather(*tasks)
    finally:
        idle.cancel()
        await asyncio.gather(idle, return_exceptions=True)
        for client in clients:
            await client.close()


async def _call(client: AsyncClient, window: NDArray[np.float32]) -> Called:
    at, began = time.time(), time.monotonic()
    replica = error = ""
    try:
        prediction = await client.predict(window, timeout=TIMEOUT, priority="standard", bypass_cache=True)
        replica = prediction.execution.replica_id
    except TickserveError as failure:
        error = failure.reason or str(failure.code)
    return Called(at=at, seconds=time.monotonic() - began, replica=replica, error=error)


async def _keep_open(target: str, streams: int) -> None:
    async def nothing() -> object:
        await asyncio.Event().wait()
        yield StreamItem(request_id="never", window=np.zeros((50, 60), dtype=np.float32))

    async def one() -> None:
        while True:
            # A replica that leaves ends its streams; whoever held one opens another.
            try:
                async with AsyncClient(target) as client:
                    async for _ in client.stream_predict(nothing()):  # type: ignore[arg-type]
                        pass
            except TickserveError:
                pass
            await asyncio.sleep(0.5)

    await asyncio.gather(*(one() for _ in range(streams)))

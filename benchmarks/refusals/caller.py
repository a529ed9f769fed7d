"""Callers on a schedule: each call has a deadline, and is made anew, once, when a replica refuses it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time

import numpy as np
from numpy.typing import NDArray

from tickserve import AsyncClient, TickserveError

RETRIED = frozenset({"PREDICTED_DEADLINE_MISS", "QUEUE_FULL"})


@dataclasses.dataclass(frozen=True, slots=True)
class Attempted:
    """One call and its second attempt, if it had one.

    Attributes:
        first: Why the first attempt failed; empty if it was answered in time.
        second: Likewise; None if there was none.
        replica: Who answered; empty if nobody.
        seconds: From the beginning of the first attempt to the end of the last.
    """

    first: str
    second: str | None
    replica: str
    seconds: float


async def call_steadily(
    target: str,
    windows: NDArray[np.float32],
    *,
    rate: float,
    seconds: float,
    deadline: float,
    channels: int = 4,
    seed: int = 0,
) -> list[Attempted]:
    """Makes calls at random instants (a Poisson process), whatever becomes of them, and returns what became of each.

    Args:
        target: Address of the service.
        windows: What is sent, float32 [n, features, steps], in turn.
        rate: Calls a second.
        seconds: For how long.
        deadline: Seconds from a call's beginning; the second attempt has what the first has left of it.
        channels: Connections that the calls take in turn.
        seed: Of the instants.
    """
    chance = random.Random(seed)
    clients = [AsyncClient(target, retry=None) for _ in range(channels)]
    tasks: list[asyncio.Task[Attempted]] = []
    try:
        due, end = time.monotonic(), time.monotonic() + seconds
        while (due := due + chance.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number = len(tasks)
            attempt = _attempt(clients[number % channels], windows[number % len(windows)], deadline)
            tasks.append(asyncio.create_task(attempt))
        return await asyncio.gather(*tasks)
    finally:
        for client in clients:
            await client.close()


async def _attempt(client: AsyncClient, window: NDArray[np.float32], deadline: float) -> Attempted:
    began = time.monotonic()
    first, replica = await _try(client, window, began + deadline)
    second = None
    if first in RETRIED:
        second, replica = await _try(client, window, began + deadline)
    return Attempted(first=first, second=second, replica=replica, seconds=time.monotonic() - began)


async def _try(client: AsyncClient, window: NDArray[np.float32], deadline: float) -> tuple[str, str]:
    left = deadline - time.monotonic()
    if left <= 0.001:
        return "NO_TIME_LEFT", ""
    try:
        prediction = await client.predict(window, timeout=left, priority="real_time", bypass_cache=True)
    except TickserveError as error:
        return error.reason or str(error.code), ""
    return ("" if time.monotonic() <= deadline else "LATE"), prediction.execution.replica_id

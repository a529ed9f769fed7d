"""Callers that ask for one prediction after another, and what each call came to."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from tickserve import AsyncClient, RetryPolicy, TickserveError

_PAUSE = 0.004
"""Seconds between a caller's answer and its next call: little, and the machine is not full."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One call.

    Attributes:
        at: When it began, seconds of the wall clock.
        seconds: How long it took, retries included.
        channel: Number of the connection that it was made on.
        replica: Who answered; empty if nobody.
        failure: Code or reason; empty if it was answered.
        detail: What the failure says in words.
    """

    at: float
    seconds: float
    channel: int
    replica: str
    failure: str = ""
    detail: str = ""


class Callers:
    """Callers that send until they are stopped, in a thread with a loop of their own.

    Args:
        target: Address of the service.
        windows: What they send, float32 [n, features, steps], in turn.
        channels: Connections.
        callers: Callers on each connection.
        timeout: Seconds allowed to each call.
        retry: Of the client library; None: what fails has failed.

    Attributes:
        calls: What has ended.
        retries: Attempts after a call's first, in all; known at the end.
    """

    def __init__(
        self,
        target: str,
        windows: NDArray[np.float32],
        *,
        channels: int,
        callers: int,
        timeout: float,
        retry: RetryPolicy | None,
    ) -> None:
        self.calls: list[Called] = []
        self.retries = 0
        self._target = target
        self._windows = windows
        self._channels = channels
        self._callers = callers
        self._timeout = timeout
        self._retry = retry
        self._is_stopped = False

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Sends while the context is entered; calls under way at its end are waited for."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="callers")
        thread.start()
        try:
            yield
        finally:
            self._is_stopped = True
            thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._channel(number) for number in range(self._channels)))

    async def _channel(self, number: int) -> None:
        async with AsyncClient(self._target, default_timeout=self._timeout, retry=self._retry) as client:
            await asyncio.gather(*(self._call(client, number, caller) for caller in range(self._callers)))
            self.retries += client.retry_statistics.retries

    async def _call(self, client: AsyncClient, channel: int, caller: int) -> None:
        turn = channel * self._callers + caller
        while not self._is_stopped:
            window = self._windows[turn % len(self._windows)]
            turn += 1
            at, began = time.time(), time.monotonic()
            replica = failure = detail = ""
            try:
                replica = (await client.predict(window, bypass_cache=True)).execution.replica_id
            except TickserveError as error:
                failure, detail = error.reason or str(error.code), str(error)
            seconds = time.monotonic() - began
            self.calls.append(
                Called(at=at, seconds=seconds, channel=channel, replica=replica, failure=failure, detail=detail)
            )
            await asyncio.sleep(_PAUSE)

"""Accepts several calls at once, so that those who wait do so in the scheduler's queue and not before the seam.

`grpc.aio` asks its core for one call at a time, and for the next one a turn or two of the event loop later. While the
loop is busy calls pile up in the core, first come first served, where no priority, no deadline and no refusal of ours
reaches them: at 1.1 times a replica's capacity a quarter of the real-time calls were in time, and 44 % of them are with
this (docs/adr/0017-acceptors.md).

This does what `grpc.aio`'s own loop does, many times side by side, and two turns sooner. It has no public way to ask
for that, so what is called here is private, tried with the versions below, and left alone in any other. Callbacks that
a handler adds to its context (`add_done_callback`) are not called: the core keeps them from us, and nothing here has
any.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, and without stubs

logger = logging.getLogger("tickserve")

TRIED_VERSIONS = frozenset({"1.81.1"})
COUNT = 64
"""How many calls may come in one turn of the loop: as many as a batch holds by default."""

_POLL = 0.05


class Acceptors:
    """Accepts calls of a server beside its own loop, from its start to its stop.

    Args:
        server: A `grpc.aio` server that is about to be started on the running loop.
        handlers: Its generic handlers, tried in order; those added before its start are seen.
        count: How many calls are accepted at once.
    """

    def __init__(
        self, server: Any, handlers: Sequence[Sequence[grpc.GenericRpcHandler]], *, count: int = COUNT
    ) -> None:
        self._core = server._server
        self._handlers = handlers
        self._count = count
        self._loop = asyncio.get_running_loop()
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> bool:
        """Begins, once the server has. Returns whether this version of gRPC is one that was tried."""
        if grpc.__version__ not in TRIED_VERSIONS:
            logger.warning(
                "gRPC %s accepts one call at a time: more were tried with %s only. Under overload real-time calls "
                "will wait behind others before they are seen.",
                *(grpc.__version__, ", ".join(sorted(TRIED_VERSIONS))),
            )
            return False
        self._keep(self._begin())
        return True

    async def _begin(self) -> None:
        while not self._core.is_running():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(_POLL)
        handlers = [handler for several in self._handlers for handler in several]
        for _ in range(self._count):
            self._keep(self._accept(handlers))

    async def _accept(self, handlers: list[grpc.GenericRpcHandler]) -> None:
        """Accepts one call, leaves the next one to a successor, and serves this one to its end."""
        if not self._core.is_running():
            return
        try:
            call = await self._core._request_call()
        except Exception:
            # It is how the core answers those who still ask when it stops.
            if self._core.is_running():
                raise
            return
        self._keep(self._accept(handlers))
        # Served in this task: `grpc.aio` begins one that begins another, and each waits for a turn of the loop, which
        # lasts for milliseconds under load.
        self._keep(cygrpc._handle_cancellation_from_core(asyncio.current_task(), call, self._loop))
        await cygrpc._handle_rpc(handlers, (), call, self._loop, False)

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""Notices that Ray Serve has begun to drain this replica, which Ray Serve itself tells nobody.

No hook runs when a drain begins: a deployment's destructor is called after it. But from its first moment on the
replica's own gRPC server answers Ray Serve's public probe, `RayServeAPIService/Healthz`, with UNAVAILABLE and the
details "DRAINING". So this asks over loopback, as HAProxy does. The port is one of a range and told to nobody: it is
looked for among the process's own listeners.

Must not know Ray's modules, and needs none: gRPC drops the message of a call that fails, so the status says it all and
there is nothing to decode.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable

import grpc

from server.health.own_listeners import Listener, ListenersUnknownError, own_listeners

logger = logging.getLogger("tickserve")

HEALTHZ = "/ray.serve.RayServeAPIService/Healthz"
DRAINING = "DRAINING"
UNHEALTHY = "UNHEALTHY"

_TIMEOUT = 1.0
# A loop that was busy for a while is no reason to look for the port again.
_MAX_SILENCES = 8
_MAX_SEARCH_PAUSE = 2.0
_CHANNEL_OPTIONS = (
    # Variables that send HTTP through a proxy are not meant for loopback.
    ("grpc.enable_http_proxy", 0),
    # Connections to other servers of the same port, long gone, are none of ours.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

Probe = grpc.aio.UnaryUnaryMultiCallable  # of bytes: there is nothing to send and nothing to read


class Answer(enum.Enum):
    """What a listener makes of the probe."""

    SERVING = enum.auto()
    """It is Ray Serve's, and not draining."""
    DRAINING = enum.auto()
    """It is Ray Serve's, and draining."""
    SILENT = enum.auto()
    """It did not answer in time, or closed the connection: nothing is known."""
    FOREIGN = enum.auto()
    """It speaks gRPC and knows no such method."""


class DrainWatch:
    """Calls a function once, when the drain of this process's replica has begun.

    Args:
        on_drain: Called once; what it raises is logged.
        interval: Seconds between two looks; the drain is noticed that much later at most.
        listeners: Tells this process's listeners; called in a thread.
    """

    def __init__(
        self,
        on_drain: Callable[[], Awaitable[object]],
        interval: float = 0.25,
        *,
        listeners: Callable[[], list[Listener]] = own_listeners,
    ) -> None:
        self._on_drain = on_drain
        self._interval = interval
        self._listeners = listeners
        self._foreign: set[int] = set()

    async def run(self) -> None:
        """Watches until the drain has begun and `on_drain` has returned. Raises nothing, save what cancels it."""
        if not await self._wait_for_drain():
            return
        try:
            await self._on_drain()
        except Exception:
            logger.exception("the drain was noticed, but could not be acted upon")

    async def _wait_for_drain(self) -> bool:
        """Returns True when the drain has begun, False if it will never be known."""
        pause = self._interval
        while True:
            try:
                listener = await self._find()
                if listener is not None:
                    pause = self._interval
                    if await self._watch(listener):
                        return True
                    logger.warning("the replica's gRPC server on port %d is gone; looking for it", listener.port)
            except ListenersUnknownError as error:
                logger.warning("drains will not be noticed, streams are cut when replicas leave: %s", error)
                return False
            except Exception:
                # Out of descriptors, say: it passes, and the replica must be watched when it has.
                logger.exception("the replica's gRPC server could not be looked for")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_SEARCH_PAUSE)

    async def _find(self) -> Listener | None:
        """Returns the listener that answers the probe, or None while there is none."""
        listeners = await asyncio.to_thread(self._listeners)
        # An inode is given to another socket some day.
        self._foreign &= {listener.inode for listener in listeners}
        # Ray Serve listens on the IPv6 wildcard; others are asked only if that is not it, for HTTP servers log a
        # warning when they are asked.
        for listener in sorted(listeners, key=lambda it: (not it.is_wildcard, not it.is_ipv6, it.port)):
            if listener.inode in self._foreign:
                continue
            async with grpc.aio.insecure_channel(listener.target, options=_CHANNEL_OPTIONS) as channel:
                answer = await ask(channel.unary_unary(HEALTHZ))
            if answer in (Answer.SERVING, Answer.DRAINING):
                return listener
            if answer is Answer.FOREIGN:
                self._foreign.add(listener.inode)
        return None

    async def _watch(self, listener: Listener) -> bool:
        """Returns True when the listener says that it drains, False when it is there no more."""
        async with grpc.aio.insecure_channel(listener.target, options=_CHANNEL_OPTIONS) as channel:
            probe: Probe[bytes, bytes] = channel.unary_unary(HEALTHZ)
            silences = 0
            while silences < _MAX_SILENCES:
                answer = await ask(probe)
                if answer is Answer.DRAINING:
                    return True
                if answer is Answer.FOREIGN:
                    break
                silences = silences + 1 if answer is Answer.SILENT else 0
                await asyncio.sleep(self._interval)
        return False


async def ask(probe: Probe[bytes, bytes]) -> Answer:
    """Makes one call of the probe and says what its outcome means."""
    try:
        await probe(b"", timeout=_TIMEOUT)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            # A connection that fails is UNAVAILABLE, too, but in gRPC's own words.
            known = {DRAINING: Answer.DRAINING, UNHEALTHY: Answer.SERVING}
            return known.get(error.details() or "", Answer.SILENT)
        passing = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
        return Answer.SILENT if error.code() in passing else Answer.FOREIGN
    return Answer.SERVING

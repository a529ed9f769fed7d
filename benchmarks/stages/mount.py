"""A replica without transport: the real seam, services, scheduler and engine, called as gRPC and Ray Serve call them.

What is not in it is what those two do themselves; `live` measures a server that has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from server import interpreter
from server.config.health_settings import HealthSettings
from server.config.scheduler_settings import ClassTimeouts, SchedulerSettings
from server.config.settings import Settings
from server.health.health import Health
from server.replica import Replica
from server.rpc.dispatch import Dispatcher, NoMessage
from server.rpc.ingress import METHODS, IngressHandler
from server.security.authorizer import Authorizer

# Of every call, as HAProxy and a client's deadline would have it.
_METADATA = (("user-agent", "grpc-python/1.81.1"), ("x-tickserve-routing-key", "stages"), ("x-forwarded-for", "-"))
_TIMEOUT = 30.0

UnaryCall = Callable[[bytes], Awaitable[bytes]]
StreamCall = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]


class CallFailedError(RuntimeError):
    """A call ended with an error; what is measured must not be refusals."""


class LocalContext:
    """Stands for gRPC's servicer context."""

    def __init__(self, *, routing_key: bool) -> None:
        self._until = time.monotonic() + _TIMEOUT
        self._metadata = _METADATA if routing_key else _METADATA[:1]

    def time_remaining(self) -> float:
        """Returns the seconds that are left of the call."""
        return self._until - time.monotonic()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what a client and a proxy send along."""
        return self._metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Takes a call's failure for a failure of the measurement."""
        raise CallFailedError(code.name)

    def set_details(self, details: str) -> None:
        """Is not reached."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None:
        """Is not reached."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Details:
    """What gRPC asks a handler about."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Ways into a replica."""

    unary: UnaryCall
    stream: StreamCall


def settings_for(registry: Path, *, model: str, threads: int, max_batch_size: int) -> Settings:
    """Returns settings under which so many calls at once are a batch of that size, and none is refused for time.

    Looks at files, and so must not be called in an event loop.

    Args:
        registry: Folder of the model registry.
        model: Name of the model.
        threads: Of one engine call.
        max_batch_size: Of the scheduler, which may take as long for a batch as it likes.
    """
    return Settings(
        registry=registry,
        default_model=model,
        engine_threads=threads,
        scheduler=SchedulerSettings(max_batch_size=max_batch_size, max_batch_duration=5.0),
        default_timeouts=ClassTimeouts(real_time=_TIMEOUT, standard=_TIMEOUT, background=_TIMEOUT),
        # Its engine call would be counted among those of the requests.
        health=HealthSettings(deep_interval=0),
    )


@contextlib.asynccontextmanager
async def mounted(settings: Settings) -> AsyncIterator[Replica]:
    """Runs a replica on the running loop while the context is entered.

    Raises:
        model.errors.ModelError: The model cannot be served.
    """
    replica = Replica(settings, replica_id="stages", health=Health(), on_hang=lambda: None)
    try:
        await replica.start()
        interpreter.settle()  # as the deployment does
        yield replica
    finally:
        gc.unfreeze()
        await replica.close()


def mount(dispatcher: Dispatcher, *, routing_key: bool = False) -> Mount:
    """Returns the ways into a dispatcher, through the seam.

    Args:
        dispatcher: A replica's.
        routing_key: Whether callers have an identity; then their request ids count (`server.results.idempotency`).
    """

    async def serve_unary(request: bytes, context: Any) -> bytes:
        return serialise(await dispatcher.unary("Predict", request, context))

    async def serve_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(dispatcher.streamed("StreamPredict", requests, context)) as responses:
            async for response in responses:
                yield serialise(response)

    return through_seam(serve_unary, serve_stream, routing_key=routing_key)


def serialise(response: Message | NoMessage) -> bytes:
    """Returns a response's bytes; a function, so that it can be timed."""
    return response.SerializeToString()


def through_seam(unary: Any, stream: Any, *, routing_key: bool = False) -> Mount:
    """Returns functions behind the seam, each call with a context of its own."""
    authorizer = Authorizer()
    authorizer.open(ring=None)
    handler = IngressHandler(unary={"Predict": unary}, streamed={"StreamPredict": stream}, authorizer=authorizer)

    def call(request: bytes) -> Awaitable[bytes]:
        served: Any = handler.service(_Details(METHODS["Predict"]))  # type: ignore[arg-type]  # has what is read
        answer: Awaitable[bytes] = served.unary_unary(request, LocalContext(routing_key=routing_key))
        return answer

    def open_stream(requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        served: Any = handler.service(_Details(METHODS["StreamPredict"]))  # type: ignore[arg-type]  # as above
        answers: AsyncIterator[bytes] = served.stream_stream(requests, LocalContext(routing_key=routing_key))
        return answers

    return Mount(unary=call, stream=open_stream)


class Feed:
    """A stream's requests: what is put in comes out, until it is closed."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, requests: list[bytes]) -> None:
        """Sends requests, all at once."""
        self._waiting.extend(requests)
        self._changed.set()

    def close(self) -> None:
        """Ends the stream."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Returns itself."""
        return self

    async def __anext__(self) -> bytes:
        """Returns the next request, without a turn of the loop if there is one."""
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

"""A replica with a fake engine behind the real seam, without sockets: called with bytes and metadata, as gRPC would.

Owns the loop that all of it runs in. What comes back is what gRPC would send: responses, or a status with its trailers.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from server.observation.sampler import Sampler
from server.rpc.ingress import METHODS, STREAMED_METHODS, IngressHandler
from server.security.authorizer import Authorizer
from tests.support.doors import EDGE_SECRET, made_key, open_to, open_to_all, written_keys
from tests.support.fakes import FakeContext
from tests.support.local import LocalService, local_service
from tests.support.registry import make_registry
from tests.support.service import bytes_handlers, settings_for

Metadata = Sequence[tuple[str, str | bytes]]
T = TypeVar("T")

# Far longer than anything takes: what has not ended by then never will.
_PATIENCE = 60.0
# Small, so that what may grow has grown to its bound early on, and memory must be flat from there.
_BOUNDS: dict[str, Any] = {
    "heartbeat_interval": 3600.0,  # only those that are asked for
    "max_symbols": 64,
    "max_symbols_per_stream": 32,
    "cache": {"max_bytes": 2**20, "request_id_entries": 500, "request_id_bytes": 2**20},
}


class CallContext(FakeContext):
    """What the seam and the dispatcher see of a gRPC call."""

    def __init__(self, metadata: Metadata, remaining: float | None) -> None:
        super().__init__()
        self._metadata = tuple(metadata)
        self._remaining = remaining

    def invocation_metadata(self) -> Metadata:
        """What the client sent."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline."""
        return self._remaining


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an RPC ended.

    Attributes:
        responses: Serialized, in order; of a unary call that was answered, one.
        context: Its status.
    """

    responses: Sequence[bytes]
    context: CallContext


class Doorway:
    """Calls a replica in through the seam.

    Args:
        service: The replica and its loop.
        authorizer: Lets calls in.
        token: Of the only key, where keys are asked for.
        edge_secret: Of the edge in front of the door, where there is one.

    Attributes:
        service: The replica and its loop.
        authorizer: Lets calls in.
        token: Of the only key; empty where none is asked for.
        edge_secret: Of the edge; empty where there is none.
        probes: Numbers that nobody has used at this door, for symbols of good calls.
    """

    def __init__(
        self, service: LocalService, authorizer: Authorizer, *, token: str = "", edge_secret: str = ""
    ) -> None:
        unary, streamed = bytes_handlers(service.replica.dispatcher)
        self._handler = IngressHandler(unary=unary, streamed=streamed, sampler=Sampler(0.05), authorizer=authorizer)
        self.service = service
        self.authorizer = authorizer
        self.token = token
        self.edge_secret = edge_secret
        self.probes = itertools.count()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something in the replica's loop.

        Raises:
            TimeoutError: It did not end: something stays unanswered.
        """
        return self.service.runner.run(asyncio.wait_for(work, _PATIENCE))

    async def call(
        self, method: str, request: bytes, *, metadata: Metadata = (), remaining: float | None = None
    ) -> Outcome:
        """Makes a unary call."""
        context = CallContext(metadata, remaining)
        # In a task of its own, as gRPC does it: what the seam sets must not be seen by the next call.
        response = await asyncio.create_task(self._method(method).unary_unary(request, context))
        return Outcome(responses=[] if context.code else [response], context=context)

    async def exchange(self, method: str, requests: Sequence[bytes], *, metadata: Metadata = ()) -> Outcome:
        """Sends a whole stream and returns all that is answered."""
        context = CallContext(metadata, None)

        async def collect() -> list[bytes]:
            return [response async for response in self._method(method).stream_stream(_sent(requests), context)]

        return Outcome(responses=await asyncio.create_task(collect()), context=context)

    def _method(self, method: str) -> Any:
        handler = self._handler.service(SimpleNamespace(method=METHODS[method], invocation_metadata=()))
        assert handler is not None
        return handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorways:
    """The same replica behind different doors.

    Attributes:
        open: Asks nobody for a key.
        keyed: Asks for an API key.
        edged: Asks for the edge's secret, and for a key or an identity that the edge vouches for.
    """

    open: Doorway
    keyed: Doorway
    edged: Doorway


@contextlib.contextmanager
def doorways(folder: Path) -> Iterator[Doorways]:
    """Starts a replica, and stops it; `folder` takes its registry and its keys."""
    registry = make_registry(folder / "registry", versions=2)
    keys = folder / "keys.toml"
    [token] = written_keys(keys, made_key("fuzz"))
    with local_service(settings_for(registry, **_BOUNDS)) as service:
        yield Doorways(
            open=Doorway(service, open_to_all()),
            keyed=Doorway(service, open_to(keys), token=token),
            edged=Doorway(service, open_to(keys, edge_secret=EDGE_SECRET), token=token, edge_secret=EDGE_SECRET),
        )


def is_streamed(method: str) -> bool:
    """Tells whether an RPC takes and gives a stream."""
    return method in STREAMED_METHODS


async def _sent(requests: Sequence[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        await asyncio.sleep(0)
        yield request

"""A replica without sockets and without a real engine, driven from plain functions: for tests of many small calls."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from google.protobuf.message import Message
from google.rpc import status_pb2

from server.call import Call, current_call
from server.config.settings import Settings
from server.health.health import Health
from server.observation.observer import Observer
from server.replica import Replica
from server.rpc.ingress import METHODS
from server.security.halt_keeper import READING
from tests.support.fakes import FakeContext, FakeEngine, use_engine
from tests.support.raw_client import Refused, read_status


class LocalService:
    """Calls a replica's dispatcher in an event loop of its own, as the seam does.

    Attributes:
        replica: What answers.
        runner: Runs the loop.
        errors: What the loop's exception handler was told; empty unless something is wrong.
    """

    def __init__(self, settings: Settings, *, observers: Sequence[Observer] = ()) -> None:
        self.runner = asyncio.Runner()
        self.errors: list[object] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.errors.append(context))
        self.replica = Replica(settings, replica_id="local", health=Health(), on_hang=lambda: None, observers=observers)
        self._own_tasks = 0

    def unary(self, method: str, request: bytes) -> Message | Refused:
        """Returns the response of one unary call, or how it was refused."""
        return self.runner.run(self._unary(method, request))

    def stream(self, method: str, requests: Iterable[bytes]) -> tuple[list[Message], Refused | None]:
        """Returns all responses of one stream, and how it was refused as a whole, if it was."""
        return self.runner.run(self._stream(method, list(requests)))

    def pending(self) -> int:
        """Returns the number of tasks that are left over, the replica's own aside."""
        return self._tasks() - self._own_tasks

    def start(self) -> None:
        """Starts the replica."""
        self.runner.run(self.replica.start())
        self._own_tasks = self._tasks()

    def _tasks(self) -> int:
        # A look at the halts comes and goes by the clock, whoever calls.
        return sum(task.get_name() != READING for task in asyncio.all_tasks(self.runner.get_loop()))

    async def _unary(self, method: str, request: bytes) -> Message | Refused:
        current_call.set(_call(method))
        context = FakeContext()
        response = await self.replica.dispatcher.unary(method, request, context)
        if isinstance(response, Message):
            assert context.code is None
            return response
        return _refused(context)

    async def _stream(self, method: str, requests: list[bytes]) -> tuple[list[Message], Refused | None]:
        current_call.set(_call(method))
        context = FakeContext()
        responses = [
            response async for response in self.replica.dispatcher.streamed(method, _messages(requests), context)
        ]
        return responses, None if context.code is None else _refused(context)


@contextmanager
def local_service(settings: Settings, *, observers: Sequence[Observer] = ()) -> Iterator[LocalService]:
    """Starts a replica with a `FakeEngine`, and stops it."""
    with use_engine(FakeEngine):
        service = LocalService(settings, observers=observers)
    service.start()
    try:
        yield service
    finally:
        service.runner.run(service.replica.close())
        service.runner.close()


def _call(method: str) -> Call:
    return Call(method=METHODS[method], received_at=asyncio.get_running_loop().time(), trace_id="ab" * 16)


def _refused(context: FakeContext) -> Refused:
    [(_, value)] = context.trailers
    assert isinstance(value, bytes)
    refused = read_status(status_pb2.Status.FromString(value))
    assert (refused.code, refused.message) == (context.code, context.details)
    return refused


async def _messages(requests: list[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        await asyncio.sleep(0)
        yield request

"""Laws of the watch for drains, against real gRPC servers on loopback: once, at the right server, come what may."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from server.health.drain_watch import DRAINING, HEALTHZ, UNHEALTHY, DrainWatch
from server.health.own_listeners import Listener, ListenersUnknownError

INTERVAL = 0.01
PATIENCE = 60.0
SUCCESS = b"\x0a\x07success"


class Probed:
    """Answers the probe as Ray Serve's replica does, with a state that the test sets.

    Attributes:
        state: Empty while well, else the details of UNAVAILABLE.
        probed: Set at each probe.
        probes: How many came.
    """

    def __init__(self) -> None:
        self.state = ""
        self.probed = asyncio.Event()
        self.probes = 0

    async def answer(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Sets the status and returns the message, as Ray Serve does it."""
        self.probes += 1
        self.probed.set()
        context.set_code(grpc.StatusCode.UNAVAILABLE if self.state else grpc.StatusCode.OK)
        context.set_details(self.state or "success")
        return SUCCESS

    async def is_probed(self, times: int = 1) -> None:
        """Waits for so many more probes."""
        for _ in range(times):
            self.probed.clear()
            await asyncio.wait_for(self.probed.wait(), PATIENCE)


class Drains:
    """Counts the calls."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        """Counts one."""
        self.count += 1


@asynccontextmanager
async def grpc_server(
    answer: Callable[[bytes, Any], Any] | None, *, method: str = HEALTHZ
) -> AsyncIterator[tuple[grpc.aio.Server, Listener]]:
    """Runs a gRPC server on loopback that knows one method, or none."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if answer is not None:
        _, service, name = method.split("/")
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    listener = at(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    try:
        yield server, listener
    finally:
        await server.stop(None)


def at(port: int) -> Listener:
    """Returns a listener on a port; its inode is the port."""
    return Listener(inode=port, host="127.0.0.1", port=port, is_wildcard=False, is_ipv6=False)


@asynccontextmanager
async def watching(on_drain: Any, listeners: Callable[[], list[Listener]]) -> AsyncIterator[asyncio.Task[None]]:
    """Runs a watch until the context is left."""
    task = asyncio.create_task(DrainWatch(on_drain, INTERVAL, listeners=listeners).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_drain_is_noticed_once() -> None:
    """Nothing happens while the replica is well or unhealthy; the drain is told once, and the watch is over."""
    probed, drains = Probed(), Drains()
    async with grpc_server(probed.answer) as (_, listener), watching(drains, lambda: [listener]) as task:
        await probed.is_probed(3)
        probed.state = UNHEALTHY
        await probed.is_probed(12)
        assert drains.count == 0
        probed.state = DRAINING
        await asyncio.wait_for(task, PATIENCE)
        assert drains.count == 1
        before = probed.probes
        await asyncio.sleep(0)
        assert probed.probes == before


async def test_a_replica_that_drains_from_the_start_is_noticed() -> None:
    """Who looks late still sees it."""
    probed, drains = Probed(), Drains()
    probed.state = DRAINING
    async with grpc_server(probed.answer) as (_, listener), watching(drains, lambda: [listener]) as task:
        await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 1


async def test_the_right_listener_is_found_among_others() -> None:
    """Servers without the method, whatever speaks no gRPC and ports that refuse are told from Ray Serve's."""
    probed, drains = Probed(), Drains()

    async def other(request: bytes, context: object) -> bytes:
        return b""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        refused = at(gone.getsockname()[1])
    async with (
        plain,
        grpc_server(None) as (_, empty),
        grpc_server(other, method="/some.Service/Healthz") as (_, foreign),
        grpc_server(probed.answer) as (_, listener),
    ):
        # As Ray Serve's is in no way different here, its port decides when it is asked: last.
        others = [refused, at(plain.sockets[0].getsockname()[1]), empty, foreign]
        ours = Listener(inode=1, host="127.0.0.1", port=listener.port, is_wildcard=False, is_ipv6=True)
        first = [Listener(inode=o.inode, host=o.host, port=o.port, is_wildcard=True, is_ipv6=True) for o in others]
        async with watching(drains, lambda: [*first, ours]) as task:
            await probed.is_probed(3)
            assert drains.count == 0
            probed.state = DRAINING
            await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 1


async def test_a_foreign_server_is_asked_once() -> None:
    """What knows no such method is left alone from then on, however long the search takes."""
    foreign, drains, looks = Probed(), Drains(), asyncio.Semaphore(0)

    async def unimplemented(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await foreign.answer(request, context)
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        return b""

    async with grpc_server(unimplemented) as (_, listener):
        loop = asyncio.get_running_loop()

        def listeners() -> list[Listener]:
            loop.call_soon_threadsafe(looks.release)
            return [listener]

        async with watching(drains, listeners):
            for _ in range(4):
                await asyncio.wait_for(looks.acquire(), PATIENCE)
    assert (foreign.probes, drains.count) == (1, 0)


async def test_a_server_that_comes_late_is_found() -> None:
    """Ray Serve opens the port after the deployment has started: the search goes on until then, through errors too."""
    probed, drains = Probed(), Drains()
    found: list[Listener] = []
    looks = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    failures = [OSError("too many open files")]

    def listeners() -> list[Listener]:
        loop.call_soon_threadsafe(looks.release)
        if failures:
            raise failures.pop()
        return list(found)

    async with watching(drains, listeners) as task:
        for _ in range(3):
            await asyncio.wait_for(looks.acquire(), PATIENCE)
        async with grpc_server(probed.answer) as (_, listener):
            found.append(listener)
            await probed.is_probed(2)
            probed.state = DRAINING
            await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 1


async def test_a_server_that_goes_is_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """A server that is gone is no drain; the one that takes its place is watched."""
    first, second, drains = Probed(), Probed(), Drains()
    found: list[Listener] = []
    async with watching(drains, lambda: list(found)) as task:
        async with grpc_server(first.answer) as (_, listener):
            found.append(listener)
            await first.is_probed(2)
        found.clear()
        async with grpc_server(second.answer) as (_, listener):
            found.append(listener)
            await second.is_probed(2)
            assert drains.count == 0
            second.state = DRAINING
            await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 1
    assert "is gone" in caplog.text


async def test_without_a_table_of_sockets_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Where listeners cannot be known, the watch ends with one warning and calls nothing."""
    drains = Drains()

    def listeners() -> list[Listener]:
        raise ListenersUnknownError("/proc is not there")

    async with watching(drains, listeners) as task:
        await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "/proc is not there" in caplog.text


async def test_a_drain_that_cannot_be_acted_upon_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What `on_drain` raises ends nobody's task."""
    probed = Probed()
    probed.state = DRAINING

    async def broken() -> None:
        raise ValueError("no streams")

    async with grpc_server(probed.answer) as (_, listener), watching(broken, lambda: [listener]) as task:
        await asyncio.wait_for(task, PATIENCE)
    assert "no streams" in caplog.text


async def test_it_finds_itself_in_this_process() -> None:
    """With the kernel's own table, among whatever else this process listens on."""
    probed, drains = Probed(), Drains()
    async with grpc_server(probed.answer):
        task = asyncio.create_task(DrainWatch(drains, INTERVAL).run())
        await probed.is_probed(2)
        probed.state = DRAINING
        await asyncio.wait_for(task, PATIENCE)
    assert drains.count == 1


async def test_cancelling_leaves_nothing() -> None:
    """A replica that closes ends its watch at once."""
    probed, drains = Probed(), Drains()
    async with grpc_server(probed.answer) as (_, listener):
        async with watching(drains, lambda: [listener]) as task:
            await probed.is_probed()
        assert task.cancelled()
    assert drains.count == 0

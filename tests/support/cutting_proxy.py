"""A TCP proxy that cuts each connection where a test says, to the byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of one connection, and who is next.

    Attributes:
        after: Bytes that still pass, in the direction in which it is cut.
        upwards: Whether those from the client to the server are counted, or those to the client.
        following: Which target the next connection goes to.
    """

    after: int
    upwards: bool
    following: int


class CuttingProxy:
    """Passes bytes between one listening port and the first of several targets, until told otherwise.

    Args:
        targets: Ports on loopback.

    Attributes:
        cut_count: Connections that were cut.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self._targets = targets
        self._target = 0
        self._cuts: deque[Cut] = deque()
        self._writers: set[asyncio.StreamWriter] = set()
        self._passed = {True: 0, False: 0}
        self.cut_count = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, targets: Sequence[int]) -> AsyncIterator[tuple[Self, str]]:
        """Listens while the context is entered; gives the proxy and its address."""
        proxy = cls(targets)
        server = await asyncio.start_server(proxy._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield proxy, f"127.0.0.1:{port}"
        finally:
            server.close()
            proxy._abort()
            await server.wait_closed()

    def arm(self, cuts: Sequence[Cut]) -> None:
        """Sets the cuts, counted from now; there may be one connection at a time."""
        self._cuts = deque(cuts)
        self._passed = {True: 0, False: 0}

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._passed = {True: 0, False: 0}
        self._writers.add(writer)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._targets[self._target])
        self._writers.add(server_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, server_writer, upwards=True))
                group.create_task(self._pass(server_reader, writer, upwards=False))
        except* (ConnectionError, EOFError):
            pass
        finally:
            for one in (writer, server_writer):
                self._writers.discard(one)
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upwards: bool) -> None:
        while data := await reader.read(4096):
            cut = self._cuts[0] if self._cuts and self._cuts[0].upwards == upwards else None
            if cut is not None and self._passed[upwards] + len(data) > cut.after:
                writer.write(data[: max(0, cut.after - self._passed[upwards])])
                # What has been written leaves first: the other side may act on it, and must.
                await writer.drain()
                writer.close()
                self._cuts.popleft()
                self._target = cut.following
                self.cut_count += 1
                raise ConnectionAbortedError
            self._passed[upwards] += len(data)
            writer.write(data)
            await writer.drain()
        raise EOFError

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

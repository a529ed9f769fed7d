"""One StreamTicks call on the generated stubs: raw bytes out, parsed responses back, one write at a time.

Not the client library: its buffers and its resumption would take processor time that the server needs here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from benchmarks.streams.bars import symbol_name
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import OpenStream, StreamOpened

_STREAM_TICKS = "/tickserve.v1.PredictionService/StreamTicks"
_OPEN_TIMEOUT = 30.0


class StreamFailedError(RuntimeError):
    """A stream could not be opened, or ended before the client did."""


class TickCall:
    """One stream.

    Args:
        channel: Carries it.
        identity: Routing key.
        on_response: Called with the kind of each response after `opened`, and the response.
        on_failure: Called once if the stream ends by itself.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        identity: str,
        on_response: Callable[[str, StreamTicksResponse], None],
        on_failure: Callable[[StreamFailedError], None],
    ) -> None:
        start: Any = channel.stream_stream(_STREAM_TICKS)
        self._call: Any = start(metadata=(("x-tickserve-routing-key", identity),))
        self._on_response = on_response
        self._on_failure = on_failure
        self._outbox: deque[Callable[[], bytes]] = deque()
        self._has_mail = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, numbers: Sequence[int], *, conflate: bool) -> StreamOpened:
        """Opens the session and starts to read and write.

        Raises:
            StreamFailedError: It was refused, or nothing came.
        """
        opening = OpenStream(symbols=[symbol_name(number) for number in numbers], conflate=conflate)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await self._call.write(StreamTicksRequest(open=opening).SerializeToString())
                raw = await self._call.read()
        except (TimeoutError, grpc.RpcError) as error:
            raise StreamFailedError(f"a stream could not be opened: {error!r}") from None
        response = StreamTicksResponse() if raw is grpc.aio.EOF else StreamTicksResponse.FromString(raw)
        if response.WhichOneof("message") != "opened":
            raise StreamFailedError(f"a stream was refused: {response}")
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        return response.opened

    def send(self, make: Callable[[], bytes]) -> None:
        """Sends a message after those before it; it is made when its turn comes. Never waits."""
        self._outbox.append(make)
        self._has_mail.set()

    async def close(self) -> None:
        """Ends the call."""
        for task in self._tasks:
            task.cancel()
        self._call.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        # Apart from reading: a server that waits for us to read must not find us waiting for it to take a message.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):  # the reader tells why
            while True:
                while self._outbox:
                    await self._call.write(self._outbox.popleft()())
                self._has_mail.clear()
                await self._has_mail.wait()

    async def _read(self) -> None:
        try:
            while (raw := await self._call.read()) is not grpc.aio.EOF:
                response = StreamTicksResponse.FromString(raw)
                self._on_response(response.WhichOneof("message") or "", response)
            self._on_failure(StreamFailedError(f"the server ended a stream: {await self._call.code()}"))
        except grpc.RpcError as error:
            self._on_failure(StreamFailedError(f"a stream broke: {error!r}"))
        except Exception as error:
            self._on_failure(StreamFailedError(f"a response could not be taken: {error!r}"))
            raise

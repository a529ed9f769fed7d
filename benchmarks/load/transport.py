"""How requests travel: unary calls, or streams that carry many requests. Raw bytes out, parsed replies back.

Both speak the same way to the loops that drive them: a lane, a request, an exchange that ends in a reply. What the
bytes mean is a matter of the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

import grpc

from benchmarks.load.protocol import Reply, WireProtocol, error_reply
from tickserve.channel import channel_options
from tickserve.errors import error_from_rpc

_ROUTING_KEY = "x-tickserve-routing-key"


class Transport(Protocol):
    """What the loops need of a way to travel."""

    async def exchange(self, lane: int, request_id: str, request: bytes, timeout: float) -> Reply:
        """Sends a serialised request and returns what came back; errors are replies, too.

        Args:
            lane: Which caller sends; chooses connection, stream and identity.
            request_id: As written in the request.
            request: Serialised.
            timeout: Seconds after which the request is given up.
        """

    async def close(self) -> None:
        """Ends all calls and connections."""


class UnaryTransport:
    """Unary calls, spread over connections by lane.

    Args:
        target: Address of the server.
        protocol: That it speaks.
        name: Prefix of the lanes' identities.
        connections: How many.
    """

    def __init__(self, target: str, *, protocol: WireProtocol, name: str, connections: int) -> None:
        self._protocol = protocol
        self._name = name
        self._channels = [_channel(target) for _ in range(connections)]
        # No serialisers: bytes go out and come in as they are.
        self._calls: list[Any] = [channel.unary_unary(protocol.unary_method) for channel in self._channels]

    async def exchange(self, lane: int, request_id: str, request: bytes, timeout: float) -> Reply:
        """See `Transport`."""
        del request_id
        call = self._calls[lane % len(self._calls)]
        try:
            raw = await call(request, timeout=timeout, metadata=((_ROUTING_KEY, f"{self._name}-{lane}"),))
        except grpc.RpcError as error:
            return error_reply(error_from_rpc(error))
        return self._protocol.read_unary(raw)

    async def close(self) -> None:
        """See `Transport`."""
        for channel in self._channels:
            await channel.close()


class StreamTransport:
    """Streams, each shared by the lanes that fall to it.

    Args:
        target: Address of the server.
        protocol: That it speaks.
        name: Prefix of the streams' identities.
        connections: HTTP/2 connections that carry the streams.
        streams: How many streams.
    """

    def __init__(self, target: str, *, protocol: WireProtocol, name: str, connections: int, streams: int) -> None:
        self._channels = [_channel(target) for _ in range(connections)]
        self._streams = [
            _Stream(self._channels[index % connections], protocol, identity=f"{name}-{index}")
            for index in range(streams)
        ]

    async def exchange(self, lane: int, request_id: str, request: bytes, timeout: float) -> Reply:
        """See `Transport`."""
        return await self._streams[lane % len(self._streams)].exchange(request_id, request, timeout)

    async def close(self) -> None:
        """See `Transport`."""
        for stream in self._streams:
            await stream.close()
        for channel in self._channels:
            await channel.close()


class _Stream:
    """One stream; opened by its first request, and anew after it broke."""

    def __init__(self, channel: grpc.aio.Channel, protocol: WireProtocol, *, identity: str) -> None:
        self._protocol = protocol
        self._open: Any = channel.stream_stream(protocol.stream_method)
        self._metadata = ((_ROUTING_KEY, identity),)
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._writing = asyncio.Lock()  # gRPC takes one write at a time on a call

    async def exchange(self, request_id: str, request: bytes, timeout: float) -> Reply:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = reply
        try:
            async with asyncio.timeout(timeout):
                async with self._writing:
                    if self._reader is None or self._reader.done():
                        self._call = self._open(metadata=self._metadata)
                        self._reader = asyncio.create_task(self._read(self._call))
                    await self._call.write(request)
                return await reply
        except TimeoutError:
            return Reply(None, code="DEADLINE_EXCEEDED")
        except (grpc.RpcError, asyncio.InvalidStateError):  # the stream broke between two messages
            return Reply(None, code="UNAVAILABLE")
        finally:
            self._waiting.pop(request_id, None)

    async def close(self) -> None:
        if self._call is not None:
            self._call.cancel()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def _read(self, call: Any) -> None:
        end = Reply(None, code="UNAVAILABLE")
        try:
            while (raw := await call.read()) is not grpc.aio.EOF:
                reply = self._protocol.read_streamed(raw)
                waiting = self._waiting.get(reply.request_id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except grpc.RpcError as error:
            end = error_reply(error_from_rpc(error))
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(end)


def _channel(target: str) -> grpc.aio.Channel:
    # As the client library opens it: one connection of its own, however many channels there are.
    return grpc.aio.insecure_channel(target, options=channel_options())

"""From an RPC's raw bytes to a service method and back, with every outcome turned into a response or a status.

Owns the two rules that hold for all methods: a call that did not come through the seam is not served (Ray Serve's
fallback proxy, used while there are no replicas, knows no deadline), and errors are returned, never raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

from google.protobuf.message import Message

from server.call import Call, current_call
from server.refusal import model_loading
from server.rpc.errors import StatusContext, explain, set_status

UnaryMethod = Callable[[bytes, Call], Awaitable[Message]]
StreamedMethod = Callable[[AsyncIterator[bytes], Call], AsyncGenerator[Message, None]]


class NoMessage:
    """Stands for the response of a failed unary call; gRPC sends the status alone."""

    @staticmethod
    def SerializeToString() -> bytes:  # noqa: N802 - protobuf's name
        """Returns no bytes."""
        return b""


NO_MESSAGE = NoMessage()


class Dispatcher:
    """Serves the contract's methods by short name.

    Args:
        unary: Methods that take one message.
        streamed: Methods that take and give a stream.
    """

    def __init__(self, *, unary: Mapping[str, UnaryMethod], streamed: Mapping[str, StreamedMethod]) -> None:
        self._unary = unary
        self._streamed = streamed

    async def unary(self, name: str, request: bytes, context: StatusContext) -> Message | NoMessage:
        """Serves one unary RPC; sets the context's status and returns no message if it fails."""
        call = current_call.get()
        try:
            if call is None:
                raise model_loading("The service")
            return await self._unary[name](request, call)
        except Exception as error:
            set_status(context, explain(error, trace_id=call.trace_id if call else ""))
            return NO_MESSAGE

    async def streamed(
        self, name: str, requests: AsyncIterator[bytes], context: StatusContext
    ) -> AsyncGenerator[Message, None]:
        """Serves one streamed RPC; sets the context's status and ends if it fails as a whole."""
        call = current_call.get()
        try:
            if call is None:
                raise model_loading("The service")
            async with contextlib.aclosing(self._streamed[name](requests, call)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:
            set_status(context, explain(error, trace_id=call.trace_id if call else ""))

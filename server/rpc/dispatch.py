"""From an RPC's raw bytes to a service method and back, with every outcome turned into a response or a status.

Owns the two rules that hold for all methods: a call that did not come through the seam is not served (Ray Serve's
fallback proxy, used while there are no replicas, knows no deadline), and errors are returned, never raised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

import grpc
from google.protobuf.message import Message

from server.call import Call, current_call
from server.observation.observer import Observer, Observers
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason, Refusal, model_loading
from server.rpc.decode import Received
from server.rpc.errors import CODES, StatusContext, explain, set_status
from server.rpc.ingress import METHODS

UnaryMethod = Callable[[Received, Call], Awaitable[Message]]
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
        observer: Told of every RPC that ends.
        leaving: Looks at each response before it is sent, and returns what is sent instead; may refuse that of a unary
            call. None: all are sent.
        hold: Waits as long as a unary call's refusal is to be kept back. None: not at all.
        clock: Monotonic seconds.

    Attributes:
        open_streams: How many streams of each method are open.
    """

    def __init__(
        self,
        *,
        unary: Mapping[str, UnaryMethod],
        streamed: Mapping[str, StreamedMethod],
        observer: Observer | None = None,
        leaving: Callable[[Message, Call], Message] | None = None,
        hold: Callable[[Reason, Call], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unary = unary
        self._streamed = streamed
        self.open_streams = dict.fromkeys(streamed, 0)
        self._observer = observer or Observers()
        self._leaving = leaving or (lambda response, _: response)
        self._hold = hold
        self._clock = clock

    async def unary(self, name: str, request: bytes, context: StatusContext) -> Message | NoMessage:
        """Serves one unary RPC; sets the context's status and returns no message if it fails."""
        try:
            return await self.answer(name, request, current_call.get())
        except Refusal as refusal:
            set_status(context, refusal)
            return NO_MESSAGE

    async def answer(self, name: str, request: Received, call: Call | None) -> Message:
        """Serves one unary call of whatever transport; it is counted as the RPC of that name.

        Args:
            name: The method's short name.
            request: Its message.
            call: What the seam knows of it; None where it did not come through one.

        Raises:
            Refusal: There is no response, and why; nothing else.
        """
        try:
            if call is None:
                raise model_loading("The service")
            response = self._leaving(await self._unary[name](request, call), call)
        except Exception as error:
            refusal = self._refusal(name, call, error)
            if self._hold is not None and call is not None:
                await self._hold(refusal.reason, call)
            raise refusal from None
        except BaseException:
            self._tell(name, call, self._code_of_cancelled(call))
            raise
        self._tell(name, call, grpc.StatusCode.OK)
        return response

    async def streamed(
        self, name: str, requests: AsyncIterator[bytes], context: StatusContext
    ) -> AsyncGenerator[Message, None]:
        """Serves one streamed RPC; sets the context's status and ends if it fails as a whole."""
        call = current_call.get()
        self.open_streams[name] += 1
        try:
            if call is None:
                raise model_loading("The service")
            async with contextlib.aclosing(self._streamed[name](requests, call)) as responses:
                async for response in responses:
                    yield self._leaving(response, call)
        except Exception as error:
            set_status(context, self._refusal(name, call, error))
        except BaseException:
            self._tell(name, call, self._code_of_cancelled(call))
            raise
        else:
            self._tell(name, call, grpc.StatusCode.OK)
        finally:
            self.open_streams[name] -= 1

    def _refusal(self, name: str, call: Call | None, error: Exception) -> Refusal:
        refusal = explain(error, trace_id=call.trace_id if call else "")
        self._tell(name, call, CODES[refusal.reason], refusal.reason)
        return refusal

    def _tell(self, name: str, call: Call | None, code: grpc.StatusCode, reason: Reason | None = None) -> None:
        now = self._clock()
        self._observer.rpc_ended(
            RpcRecord(
                call=call or Call(method=METHODS.get(name, name), received_at=now),
                code=code.name,
                ended_at=now,
                reason=reason,
                is_streamed=name in self._streamed,
            )
        )

    def _code_of_cancelled(self, call: Call | None) -> grpc.StatusCode:
        """Returns what the client of an RPC that is given up sees: gRPC also cancels what has run out of time."""
        deadline = None if call is None else call.rpc_deadline
        is_late = deadline is not None and self._clock() >= deadline
        return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED

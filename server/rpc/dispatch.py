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
from server.refusal import Reason, model_loading
from server.rpc.errors import CODES, StatusContext, explain, set_status
from server.rpc.ingress import METHODS

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
        observer: Told of every RPC that ends.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unary = unary
        self._streamed = streamed
        self.open_streams = dict.fromkeys(streamed, 0)
        self._observer = observer or Observers()
        self._clock = clock

    async def unary(self, name: str, request: bytes, context: StatusContext) -> Message | NoMessage:
        """Serves one unary RPC; sets the context's status and returns no message if it fails."""
        call = current_call.get()
        try:
            if call is None:
                raise model_loading("The service")
            response = await self._unary[name](request, call)
        except Exception as error:
            self._refuse(name, call, context, error)
            return NO_MESSAGE
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
                    yield response
        except Exception as error:
            self._refuse(name, call, context, error)
        except BaseException:
            self._tell(name, call, self._code_of_cancelled(call))
            raise
        else:
            self._tell(name, call, grpc.StatusCode.OK)
        finally:
            self.open_streams[name] -= 1

    def _refuse(self, name: str, call: Call | None, context: StatusContext, error: Exception) -> None:
        refusal = explain(error, trace_id=call.trace_id if call else "")
        set_status(context, refusal)
        self._tell(name, call, CODES[refusal.reason], refusal.reason)

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

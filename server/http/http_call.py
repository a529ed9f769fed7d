"""From an HTTP request to the contract's method and back: the seam of the HTTP side.

Owns what is the same for all routes that stand for a method: deadline, caller, trace, limits, and that each is
answered, counted and logged as the RPC of its name. Who may call was decided by `key_middleware`, which leaves word in
the scope.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Awaitable, Callable

from google.protobuf.message import Message
from starlette.requests import Request

from server.call import Call, current_call
from server.config.settings import Settings
from server.http.json_body import BodyRefusal, read_body
from server.http.key_middleware import ADMISSION
from server.http.refusal_problem import problem_of
from server.observation.sampler import Sampler
from server.refusal import Reason, Refusal, model_loading
from server.rpc.decode import Received
from server.rpc.dispatch import Dispatcher
from server.rpc.ingress import METHODS
from server.rpc.seam_call import call_of
from server.security.authorizer import Admission
from server.security.metadata_limit import process_metadata_limit

DEADLINE_HEADER = "X-Deadline-Ms"

Reader = Callable[[bytes], Awaitable[bytes]]
"""From a body to the serialized message of the contract; raises a refusal where there is none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiSource:
    """What answers.

    Attributes:
        dispatcher: Serves the contract's methods.
        settings: In force.
    """

    dispatcher: Dispatcher
    settings: Settings


class HttpCalls:
    """Has the contract's methods answer HTTP requests.

    Args:
        source: Returns what answers; None while the replica has not come up.
        sampler: Places each call in a trace, or in none.
        clock: Monotonic seconds.
    """

    def __init__(
        self, source: Callable[[], ApiSource | None], *, sampler: Sampler, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._sampler = sampler
        self.now = clock

    def source(self) -> ApiSource:
        """Returns what answers.

        Raises:
            Problem: Nothing does yet.
        """
        source = self._source()
        if source is None:
            raise problem_of(model_loading("The service"))
        return source

    async def answer(self, request: Request, name: str, read: Reader | Received) -> Message:
        """Returns what a method answers.

        Args:
            request: The request.
            name: The method's short name.
            read: Makes the message of the body; where there is no body, the message itself, or what is wrong with it.

        Raises:
            Refusal: There is no answer, and why.
            Problem: Nothing answers yet.
        """
        source = self.source()
        call, fault = self._call(request, name)
        received: Received
        try:
            if fault is not None:
                raise fault
            if isinstance(read, bytes | Refusal):
                received = read
            else:
                received = await self._read(request, call, read, source.settings)
        except Refusal as refusal:
            # Handed on all the same: it counts, and is logged, as a message that could not be read over gRPC.
            received = refusal
        token = current_call.set(call)
        try:
            return await source.dispatcher.answer(name, received, call)
        finally:
            current_call.reset(token)

    def _call(self, request: Request, name: str) -> tuple[Call, Refusal | None]:
        """Returns the call, and what is wrong with its headers."""
        received_at, headers, fault = self.now(), request.headers, None
        deadline: float | None = None
        try:
            process_metadata_limit.check(headers.items())
            deadline = deadline_of(headers.get(DEADLINE_HEADER), received_at=received_at)
        except Refusal as refusal:
            fault = refusal
            if refusal.reason is Reason.LIMIT_EXCEEDED:
                fault = BodyRefusal(431, refusal.reason, refusal.message, metadata=refusal.metadata)
        call = call_of(
            METHODS[name],
            dict(headers.items()),
            admission=request.scope.get(ADMISSION) or Admission(),
            sampler=self._sampler,
            received_at=received_at,
            rpc_deadline=deadline,
            route=request.scope["path"],
        )
        return call, fault

    async def _read(self, request: Request, call: Call, read: Reader, settings: Settings) -> bytes:
        patience = settings.max_timeout
        if call.rpc_deadline is not None:
            patience = min(patience, call.rpc_deadline - call.received_at)
        return await read(await read_body(request, max_bytes=settings.max_request_bytes, patience=patience))


def deadline_of(header: str | None, *, received_at: float) -> float | None:
    """Returns until when the client waits, monotonic seconds; None where it does not say.

    Args:
        header: Value of `X-Deadline-Ms`: the milliseconds that it waits, from now on.
        received_at: Receipt, monotonic seconds.

    Raises:
        Refusal: INVALID_TIMEOUT; it is no positive number.
    """
    if header is None:
        return None
    try:
        milliseconds = float(header) if header.isascii() else math.nan
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise Refusal(
            Reason.INVALID_TIMEOUT,
            f"{DEADLINE_HEADER} must be the milliseconds that you wait, a number greater than zero.",
            field=DEADLINE_HEADER,
        )
    return received_at + milliseconds / 1e3

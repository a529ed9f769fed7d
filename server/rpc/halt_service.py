"""`tickserve.v1.HaltService`: stops predictions, lets them go on, and says what is stopped.

Owns what each RPC answers. Who may call is decided at the door; where nobody is asked for a key, only a service that is
reached from its own machine alone takes orders.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from server.call import Call
from server.config.live_settings import LiveSettings
from server.config.security_settings import is_loopback
from server.refusal import Reason, Refusal, halt_store_unavailable
from server.rpc.decode import Received, parse
from server.rpc.encode_halts import read_reason, read_scope, write_halt
from server.security.caller_limits import ANONYMOUS
from server.security.halt import Halt
from server.security.halt_keeper import HaltKeeper
from server.security.halt_store import HaltStoreError
from server.security.halt_view import Halts
from tickserve.v1 import halt_service_pb2


class HaltService:
    """Serves `HaltService`.

    Args:
        halts: What is halted.
        keeper: Changes it.
        live: Limits, and who may connect.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        halts: Halts,
        keeper: HaltKeeper,
        *,
        live: LiveSettings,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._halts = halts
        self._keeper = keeper
        self._live = live
        self._wall_clock = wall_clock

    async def halt(self, data: Received, call: Call) -> halt_service_pb2.HaltResponse:
        """Stops predictions."""
        self._check_caller(call, "Halt")
        request = parse(halt_service_pb2.HaltRequest, data, max_bytes=self._live.current.max_request_bytes)
        halt = Halt(
            scope=read_scope(request.scope),
            reason=read_reason(request.reason),
            author=call.key_id or ANONYMOUS,
            halted_at=self._wall_clock(),
        )
        try:
            halt = await self._keeper.halt(halt)
        except HaltStoreError:
            raise halt_store_unavailable() from None
        return halt_service_pb2.HaltResponse(halt=write_halt(halt))

    async def resume(self, data: Received, call: Call) -> halt_service_pb2.ResumeResponse:
        """Lets predictions go on."""
        self._check_caller(call, "Resume")
        request = parse(halt_service_pb2.ResumeRequest, data, max_bytes=self._live.current.max_request_bytes)
        scope, reason = read_scope(request.scope), read_reason(request.reason)
        try:
            ended = await self._keeper.resume(scope, author=call.key_id or ANONYMOUS, reason=reason)
        except HaltStoreError:
            raise halt_store_unavailable() from None
        response = halt_service_pb2.ResumeResponse(halts=map(write_halt, self._halts.current))
        if ended is not None:
            response.ended_halt.CopyFrom(write_halt(ended))
        return response

    async def list_halts(self, data: Received, _: Call) -> halt_service_pb2.ListHaltsResponse:
        """Says what is stopped."""
        parse(halt_service_pb2.ListHaltsRequest, data, max_bytes=self._live.current.max_request_bytes)
        state = self._keeper.state
        return halt_service_pb2.ListHaltsResponse(
            halts=map(write_halt, self._halts.current), stale=state.is_stale, closed=state.is_closed
        )

    def _check_caller(self, call: Call, method: str) -> None:
        """Lets those pass whom a key has let in, and where there are no keys those on this machine.

        Raises:
            Refusal: METHOD_NOT_ALLOWED.
        """
        if call.grant is None and not is_loopback(self._live.current.host):
            raise Refusal(
                Reason.METHOD_NOT_ALLOWED,
                f"{method} needs an API key that names it, unless the service listens on loopback alone.",
                metadata={"method": method},
            )

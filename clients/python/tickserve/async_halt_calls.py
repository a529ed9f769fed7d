"""The kill switch's calls, for asyncio: a part of `AsyncClient`."""

from __future__ import annotations

from typing import Any, Unpack

import grpc

from tickserve.errors import typed_errors
from tickserve.halts import ActiveHalt, HaltList, HaltTarget, halt_scope
from tickserve.request import RequestBuilder
from tickserve.v1 import halt_service_pb2, halt_service_pb2_grpc

__all__ = ("AsyncHaltCalls",)


class AsyncHaltCalls:
    """Halts and resumes; never tried again by itself, for whoever halts must know whether it has happened."""

    _requests: RequestBuilder

    async def halt(self, *, reason: str = "", timeout: float | None = None, **target: Unpack[HaltTarget]) -> ActiveHalt:
        """Stops predictions on every replica within a second, until `resume`.

        Args:
            reason: Why, for callers, logs and whoever resumes; at most 256 characters.
            timeout: Seconds allowed; None: the client's `default_timeout`.
            **target: See `HaltTarget`; nothing stops everything.

        Raises:
            ValueError: More than one target is given.
            TickserveError: The call was refused or failed; on HALT_STORE_UNAVAILABLE only one replica has halted.
        """
        request = halt_service_pb2.HaltRequest(scope=halt_scope(**target), reason=reason)
        with typed_errors():
            response = await self._halt_stub().Halt(request, **self._plain(timeout))
        return ActiveHalt.from_proto(response.halt)

    async def resume(
        self, *, reason: str = "", timeout: float | None = None, **target: Unpack[HaltTarget]
    ) -> ActiveHalt | None:
        """Lets predictions go on that a halt of the very same target has stopped.

        Args:
            reason: Why, for the log; at most 256 characters.
            timeout: Seconds allowed; None: the client's `default_timeout`.
            **target: See `HaltTarget`; nothing ends the halt of everything, and no other.

        Returns:
            The halt that has ended; None where there was none of that target.

        Raises:
            ValueError: More than one target is given.
            TickserveError: The call was refused or failed.
        """
        request = halt_service_pb2.ResumeRequest(scope=halt_scope(**target), reason=reason)
        with typed_errors():
            response = await self._halt_stub().Resume(request, **self._plain(timeout))
        return ActiveHalt.from_proto(response.ended_halt) if response.HasField("ended_halt") else None

    async def halts(self, *, timeout: float | None = None) -> HaltList:
        """Lists what is halted.

        Raises:
            TickserveError: The call was refused or failed.
        """
        with typed_errors():
            response = await self._halt_stub().ListHalts(halt_service_pb2.ListHaltsRequest(), **self._plain(timeout))
        return HaltList.from_proto(response)

    def _halt_stub(self) -> Any:
        return halt_service_pb2_grpc.HaltServiceStub(self._open_channel())

    def _plain(self, timeout: float | None) -> dict[str, Any]:
        """Gives the arguments of a call whose request has no deadline of its own."""
        return {"timeout": self._requests.rpc_timeout(timeout), "metadata": self._requests.metadata()}

    def _open_channel(self) -> grpc.aio.Channel:
        raise NotImplementedError

"""`grpc.health.v1.Health` of one replica process: NOT_SERVING until warm, and again when it cannot answer.

Served natively on the replica's gRPC server, outside Ray Serve's request accounting, so that probes neither hold an
ongoing-request slot nor delay a drain. The library's asyncio servicer is not used because its `Watch` forgets every
watcher of a service when one of them leaves.

A replica that drains says so, and then ends its watches: behind a proxy a watch hears of the one replica it came to,
and finds another only by beginning anew. https://github.com/grpc/proposal/blob/master/A17-client-side-health-checking.md
has clients do so at once. So does a process without a replica: Ray Serve's fallback proxy, which calls reach while
there is none, never becomes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PREDICTION_SERVICE = "tickserve.v1.PredictionService"

_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the library is untyped
    """Keeps the serving state of named services and tells probes of it.

    The names are `""` (the whole replica), `tickserve.v1.PredictionService`, and one per loaded model.

    Args:
        farewell: Seconds between the word to a watcher of a replica that drains, or is not there, and the end of its
            watch. In that time proxies learn of the drain, and a watcher that comes again and again does so no sooner.
    """

    def __init__(self, *, farewell: float = 1.0) -> None:
        self._farewell = farewell
        self._word = "there is no replica here; watch again"
        self._serving: dict[str, bool] = {"": False, PREDICTION_SERVICE: False}
        self._changed = asyncio.Event()

    def set_serving(self, service: str, *, serving: bool) -> None:
        """Sets the state of a service and wakes its watchers. Call it on the event loop."""
        if self._serving.get(service) != serving:
            self._serving[service] = serving
            self._wake()

    def set_all(self, *, serving: bool) -> None:
        """Sets the state of every known service."""
        for service in self._serving:
            self._serving[service] = serving
        self._wake()

    def drain(self) -> None:
        """Lets every watch, also those that are yet to come, end soon after it was told the state."""
        self._word = "this replica drains; watch another one"
        self._wake()

    def attach(self) -> None:
        """Takes note that there is a replica in this process, whose changes are worth waiting for."""
        self._word = ""
        self._wake()

    def forget(self, service: str) -> None:
        """Removes a service, so that probes for it are answered NOT_FOUND."""
        if self._serving.pop(service, None) is not None:
            self._wake()

    def services(self) -> set[str]:
        """Returns the names that probes may ask for."""
        return set(self._serving)

    def serving(self, service: str = "") -> bool:
        """Tells whether a service answers."""
        return self._serving.get(service, False)

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """Answers one probe; an unknown service is NOT_FOUND, as the protocol says."""
        if request.service not in self._serving:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service[:128]!r}")
        return _Status(status=self._status(request.service))

    async def Watch(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tells the state now and at each change; ends when the watcher leaves, or where no change is to come."""
        last: int | None = None
        while True:
            # Taken before the state is read: a change in between sets this very event.
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield _Status(status=status)
            elif self._word:
                await asyncio.sleep(self._farewell)
                if self._word:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, self._word)
            else:
                await changed.wait()

    def _status(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        serving = self._serving.get(service)
        if serving is None:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if serving else _Status.NOT_SERVING

    def _wake(self) -> None:
        """Wakes all watchers at once: whoever waits holds the old event, whoever comes gets the new one."""
        self._changed, old = asyncio.Event(), self._changed
        old.set()


process_health = Health()
"""The state of this process. Ray Serve calls `ingress.add_services` itself, in the replica's process, and leaves no way
to hand it an object; so this one is shared by module."""

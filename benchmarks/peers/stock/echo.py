"""The floor under every service on Ray Serve's direct ingress: the bare echo's answer, through HAProxy and a replica.

Bytes in and bytes out, no seam, no queue: what is beyond this in tickserve's time for a call is tickserve's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks.peers.bare.echo import SERVICE, Echo

if TYPE_CHECKING:
    from ray.serve.grpc_util import gRPCInputStream


class Encoded:
    """Bytes that Ray Serve takes for a message.

    Args:
        data: What the message is on the wire.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Returns the bytes."""
        return self._data


class EchoPredictor:
    """One replica.

    Args:
        model: Name, version and hash that answers carry.
    """

    def __init__(self, *, model: tuple[str, int, str]) -> None:
        self._echo = Echo(model)

    async def Predict(self, request: bytes) -> Encoded:  # noqa: N802 - the contract's name
        """Serves `PredictionService/Predict`."""
        return Encoded(self._echo.answer(request))

    async def StreamPredict(  # noqa: N802 - the contract's name
        self, requests: gRPCInputStream
    ) -> AsyncGenerator[Encoded, None]:
        """Serves `PredictionService/StreamPredict`."""
        async for request in requests:
            yield Encoded(self._echo.answer(request))


def add_to_server(servicer: object, server: Any) -> None:
    """Registers the bare echo's methods, bytes in and bytes out; Ray Serve replaces their functions with its own."""
    del servicer
    handlers = Echo(("replaced", 0, "")).handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

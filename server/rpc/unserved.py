"""Methods of a served service that are not there, each told as such.

Of the Open Inference Protocol that is all that loads, shares memory, or sets what only an operator may set here.
Their handler shows Ray Serve nothing to replace, as health's does: no method of the deployment is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import service_pb2

from server.refusal import Reason, Refusal
from server.rpc.errors import set_status

INFERENCE_SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
"""Of the Open Inference Protocol, in Triton's form."""

UNSERVED = frozenset(
    {
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
        "TraceSetting",
        "LogSettings",
    }
)
"""Short names of the methods of that service that are refused."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class UnservedHandler(grpc.GenericRpcHandler):
    """Refuses the unserved methods.

    Args:
        admit: Lets a call in, or raises a refusal: who may not call is told nothing.
    """

    def __init__(self, admit: Callable[[str, Context], object]) -> None:
        self._admit = admit
        # Ray Serve reads this attribute by its name, and routes what it finds to the deployment.
        self._method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the handler of an unserved method, or None for another handler to try."""
        method = handler_call_details.method
        service, _, name = method.removeprefix("/").partition("/")
        if service != INFERENCE_SERVICE.full_name or name not in UNSERVED:
            return None

        async def refuse(_request: bytes, context: Context) -> bytes:
            try:
                self._admit(method, context)
                raise Refusal(
                    Reason.NOT_SUPPORTED, f"{name} is not served; see docs/open-inference-protocol.md for what is."
                )
            except Refusal as refusal:
                set_status(context, refusal)
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)

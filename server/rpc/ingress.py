"""The seam: the first code of ours that sees an RPC, before Ray Serve counts it.

Ray Serve calls `add_services` on every gRPC server that it starts and replaces the handlers' functions with its own.
The handler here wraps those again, so that the real `grpc.aio.ServicerContext` is seen once: the client's true
deadline, the caller, the trace and the routing key are put in a context variable that Ray Serve's code carries to the
service methods unknowing. Whoever may not call is refused here, before Ray Serve counts the call.
Requests stay raw bytes (no deserializer), so that garbage can be answered with a typed error and a stream survives it.

Health and reflection are served natively: their handlers show Ray Serve nothing to replace. Health is open to all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from server.call import Call, current_call
from server.deadline import latest_common_deadline
from server.health.health import Health, process_health
from server.observation.sampler import Sampler, process_sampler
from server.refusal import Refusal
from server.rpc.acceptors import Acceptors
from server.rpc.errors import set_status
from server.rpc.seam_call import call_of
from server.rpc.unserved import INFERENCE_SERVICE, UNSERVED, UnservedHandler
from server.security.authorizer import Authorizer, process_authorizer
from server.security.edge_identity import Metadata
from server.security.metadata_limit import process_metadata_limit
from tickserve.v1 import halt_service_pb2, model_service_pb2, prediction_service_pb2

_SERVICES = (
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    halt_service_pb2.DESCRIPTOR.services_by_name["HaltService"],
    INFERENCE_SERVICE,
)
STREAMED_METHODS = frozenset(
    method.name for service in _SERVICES for method in service.methods if method.server_streaming
)
METHODS: Mapping[str, str] = {
    method.name: f"/{service.full_name}/{method.name}"
    for service in _SERVICES
    for method in service.methods
    if service is not INFERENCE_SERVICE or method.name not in UNSERVED
}
"""Full method name by short name. Ray Serve dispatches on the short one, so they are unique across services."""

# Quoted: the stubs know these as generic, the library at run time does not.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Unary: TypeAlias = "Callable[[bytes, Context], Awaitable[bytes]]"
Streamed: TypeAlias = "Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]"


class GrpcServer(Protocol):
    """The part of a gRPC server that services are added to."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Registers handlers, tried in order."""


class IngressHandler(grpc.GenericRpcHandler):
    """Serves the contract's methods, each inside its `Call`.

    Args:
        unary: Function of each unary method, by short name.
        streamed: Function of each bidirectional method, by short name.
        sampler: Places each call in a trace, or in none.
        authorizer: Lets calls in.

    Under Ray Serve the functions given here are replaced; on a server of our own they are served as they are.
    """

    def __init__(
        self,
        *,
        unary: Mapping[str, Unary],
        streamed: Mapping[str, Streamed],
        sampler: Sampler = process_sampler,
        authorizer: Authorizer = process_authorizer,
    ) -> None:
        # Ray Serve reads and replaces this attribute by its name.
        self._method_handlers: dict[str, Handler] = {
            **{METHODS[name]: grpc.unary_unary_rpc_method_handler(function) for name, function in unary.items()},
            **{METHODS[name]: grpc.stream_stream_rpc_method_handler(function) for name, function in streamed.items()},
        }
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}
        self._sampler = sampler
        self._authorizer = authorizer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Returns the handler of a method, or None for another handler to try."""
        method = handler_call_details.method
        handler = self._method_handlers.get(method)
        if handler is None:
            return None
        known, wrapped = self._wrapped.get(method, (None, None))
        if wrapped is None or known is not handler:
            # Remembered with its origin: Ray Serve may replace a handler at any time.
            wrapped = _within_call(method, handler, self._sampler, self._authorizer)
            self._wrapped[method] = (handler, wrapped)
        return wrapped


class NativeHandler(grpc.GenericRpcHandler):
    """Collects services that run on the gRPC server itself, out of Ray Serve's sight.

    Args:
        admit: Lets streams in, or raises a refusal; None: all may come.
    """

    def __init__(self, *, admit: Callable[[Metadata], None] | None = None) -> None:
        self._admit = admit
        # Empty for good: what Ray Serve does not see it does not route to a deployment.
        self._method_handlers: dict[str, Handler] = {}
        self._native: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Takes what a generated `add_..._to_server` function registers."""
        self._native.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Ignores the second registration of the same methods that newer generated code makes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Returns the first match among the collected services."""
        for handler in self._native:
            found = handler.service(handler_call_details)
            if found is not None:
                return found if self._admit is None else _guarded(found, self._admit)
        return None


def add_services(servicer: object, server: GrpcServer) -> None:
    """Adds all services to a gRPC server that Ray Serve started. Named in `grpc_servicer_functions`.

    Args:
        servicer: Ignored; Ray Serve passes a placeholder and replaces the functions.
        server: The server.
    """
    del servicer
    add_to_server(
        server,
        unary=dict.fromkeys(METHODS.keys() - STREAMED_METHODS, _replaced_unary),
        streamed=dict.fromkeys(STREAMED_METHODS, _replaced_stream),
    )
    # Ray Serve's servers say what they serve; its own health check is among it.
    if (handlers := getattr(server, "generic_rpc_handlers", None)) is not None:
        Acceptors(server, handlers).start()


def add_services_with_reflection(servicer: object, server: GrpcServer) -> None:
    """Adds all services and server reflection. Named in `grpc_servicer_functions` while the setting allows it."""
    add_services(servicer, server)
    add_reflection(server)


def add_to_server(
    server: GrpcServer,
    *,
    unary: Mapping[str, Unary],
    streamed: Mapping[str, Streamed],
    health: Health = process_health,
    sampler: Sampler = process_sampler,
    authorizer: Authorizer = process_authorizer,
) -> None:
    """Adds the contract's methods and health to any grpc.aio server."""
    native = NativeHandler()
    health_pb2_grpc.add_HealthServicer_to_server(health, native)
    handler = IngressHandler(unary=unary, streamed=streamed, sampler=sampler, authorizer=authorizer)
    server.add_generic_rpc_handlers((handler,))
    server.add_generic_rpc_handlers((native,))
    unserved = UnservedHandler(lambda method, context: call_from(method, context, sampler, authorizer))
    server.add_generic_rpc_handlers((unserved,))


def add_reflection(server: GrpcServer, authorizer: Authorizer = process_authorizer) -> None:
    """Adds server reflection that also lists health, which Ray Serve's own would leave out."""
    native = NativeHandler(admit=authorizer.admit_reflection)
    names = [service.full_name for service in _SERVICES]
    names += ["grpc.health.v1.Health", reflection.SERVICE_NAME]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), native)
    server.add_generic_rpc_handlers((native,))


def call_from(method: str, context: Context, sampler: Sampler, authorizer: Authorizer) -> Call:
    """Lets a call in, and reads what the seam needs from its real servicer context.

    Raises:
        Refusal: The caller may not call.
    """
    now = time.monotonic()
    remaining = cast("float | None", context.time_remaining())  # None without a deadline; the stubs forget it
    process_metadata_limit.check(context.invocation_metadata() or ())
    metadata = metadata_of(context)
    admission = authorizer.admit(method.rpartition("/")[2], metadata)
    return call_of(
        method,
        metadata,
        admission=admission,
        sampler=sampler,
        received_at=now,
        rpc_deadline=latest_common_deadline(received_at=now, remaining=remaining),
    )


def metadata_of(context: Context) -> Metadata:
    """Returns an RPC's metadata by name; of a name that comes twice, the last value."""
    return {str(key): value for key, value in context.invocation_metadata() or ()}


def _within_call(method: str, handler: Handler, sampler: Sampler, authorizer: Authorizer) -> Handler:
    """Returns a handler that serves the same function with `current_call` set, to those who may call."""
    if handler.response_streaming:

        def enter(context: Context) -> None:
            current_call.set(call_from(method, context, sampler, authorizer))

        return grpc.stream_stream_rpc_method_handler(_admitting(handler.stream_stream, enter))

    unary: Any = handler.unary_unary

    async def serve_unary(request: bytes, context: Context) -> bytes:
        # gRPC runs each RPC in a task, and so a context, of its own: there is nothing to reset.
        try:
            current_call.set(call_from(method, context, sampler, authorizer))
        except Refusal as refusal:
            set_status(context, refusal)
            return b""
        response: bytes = await unary(request, context)
        return response

    return grpc.unary_unary_rpc_method_handler(serve_unary)


def _guarded(handler: Handler, admit: Callable[[Metadata], None]) -> Handler:
    """Returns a bidirectional handler that serves the same function to those who are let in."""

    def enter(context: Context) -> None:
        admit(metadata_of(context))

    return grpc.stream_stream_rpc_method_handler(
        _admitting(handler.stream_stream, enter),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _admitting(stream: Any, enter: Callable[[Context], None]) -> Callable[..., AsyncIterator[Any]]:
    """Returns the same bidirectional function for those whom `enter` lets in; the others get its refusal."""

    async def serve(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        try:
            enter(context)
        except Refusal as refusal:
            set_status(context, refusal)
            return
        # Closed at once when the RPC ends early, not when the garbage collector comes by.
        async with contextlib.aclosing(stream(requests, context)) as responses:
            async for response in responses:
                yield response

    return serve


async def _replaced_unary(_request: bytes, _context: Context) -> bytes:
    raise NotImplementedError("Ray Serve replaces this function")


async def _replaced_stream(_requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
    raise NotImplementedError("Ray Serve replaces this function")
    yield b""  # makes it an asynchronous generator, as the real one is

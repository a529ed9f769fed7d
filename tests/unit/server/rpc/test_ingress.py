"""Laws of the seam: whoever serves a method sees its call, and Ray Serve sees only what it may replace."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from server.call import Call, current_call
from server.observation.sampler import Sampler
from server.rpc import ingress
from server.rpc.ingress import (
    METHODS,
    STREAMED_METHODS,
    Context,
    IngressHandler,
    NativeHandler,
    call_from,
)
from server.security.authorizer import process_authorizer
from tests.support.doors import made_key, open_to_all, opened

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


class Details(grpc.HandlerCallDetails):
    """What gRPC asks a handler with."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


class FakeServicerContext:
    """A servicer context with a deadline and metadata."""

    def __init__(self, remaining: float | None = None, **metadata: str | bytes) -> None:
        self._remaining = remaining
        self._metadata = tuple((key.replace("_", "-"), value) for key, value in metadata.items())

    def time_remaining(self) -> float | None:
        """Seconds, or None without a deadline."""
        return self._remaining

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Key and value pairs."""
        return self._metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Takes the code."""
        self.code = code

    def set_details(self, details: str) -> None:
        """Takes the message."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None:
        """Takes the trailers."""
        self.trailers = trailing_metadata


def context(remaining: float | None = None, **metadata: str | bytes) -> Context:
    """Returns a fake servicer context."""
    return cast("Context", FakeServicerContext(remaining, **metadata))


class FakeServer:
    """Keeps the handlers that it is given, and replaces their functions as Ray Serve does."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []
        self.seen: list[Call | None] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Replaces every function in `_method_handlers` by one of its own."""
        for handler in generic_rpc_handlers:
            replaced = cast("Any", handler)._method_handlers
            for method, original in replaced.items():
                if original.response_streaming:
                    new = original._replace(stream_stream=self.serve_stream)
                else:
                    new = original._replace(unary_unary=self.serve_unary)
                replaced[method] = new
            self.handlers.append(handler)

    async def serve_unary(self, request: bytes, context: Context) -> bytes:
        """Answers with the request."""
        self.seen.append(current_call.get())
        return request

    async def serve_stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Answers with the requests."""
        self.seen.append(current_call.get())
        async for request in requests:
            yield request

    def find(self, method: str) -> Any:
        """Returns the handler of a method, as a gRPC server finds it."""
        for handler in self.handlers:
            if (found := handler.service(Details(method))) is not None:
                return found
        return None


async def messages(*values: bytes) -> AsyncIterator[bytes]:
    """Returns a stream of requests."""
    for value in values:
        yield value


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """The door of this process, open to all, as that of a replica whose settings ask for no keys."""
    process_authorizer.open(ring=None)
    yield
    process_authorizer.close()


@pytest.fixture
def server() -> FakeServer:
    """A server that Ray Serve has started with our function."""
    server = FakeServer()
    ingress.add_services_with_reflection(object(), server)
    return server


@pytest.mark.parametrize("name", sorted(METHODS.keys() - STREAMED_METHODS))
async def test_a_replaced_unary_function_sees_its_call(server: FakeServer, name: str) -> None:
    """Ray Serve's function runs inside the call, on raw bytes, with the client's own deadline and trace."""
    handler = server.find(METHODS[name])
    assert (handler.request_deserializer, handler.response_serializer) == (None, None)
    response = await handler.unary_unary(b"\xff", context(5.0, traceparent=f"00-{TRACE}-{SPAN}-01"))
    [call] = server.seen
    assert response == b"\xff"
    assert call is not None
    assert (call.method, call.trace_id) == (METHODS[name], TRACE)
    assert call.rpc_deadline is not None
    assert call.rpc_deadline - call.received_at == pytest.approx(4.95)


@pytest.mark.parametrize("name", sorted(STREAMED_METHODS))
async def test_a_replaced_streamed_function_sees_its_call(server: FakeServer, name: str) -> None:
    """So do streams."""
    handler = server.find(METHODS[name])
    assert (handler.request_streaming, handler.response_streaming) == (True, True)
    responses = [r async for r in handler.stream_stream(messages(b"a", b"b"), context())]
    assert responses == [b"a", b"b"]
    [call] = server.seen
    assert call is not None
    assert (call.method, call.rpc_deadline) == (METHODS[name], None)


async def test_a_function_replaced_later_is_the_one_that_serves() -> None:
    """Ray Serve may replace the functions after the first call; the newest one serves."""
    server, later = FakeServer(), FakeServer()
    handler = IngressHandler(unary={"Predict": server.serve_unary}, streamed={})
    for fake in (server, later):
        fake.add_generic_rpc_handlers([handler])
        found: Any = handler.service(Details(METHODS["Predict"]))
        await found.unary_unary(b"", context())
    assert (len(server.seen), len(later.seen)) == (1, 1)


async def test_an_abandoned_stream_is_closed_at_once() -> None:
    """When the RPC ends early the served generator is closed then, not when the collector comes by."""
    closed = []

    async def serve(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        try:
            async for request in requests:
                yield request
        finally:
            closed.append(True)

    handler: Any = IngressHandler(unary={}, streamed={"StreamTicks": serve}).service(Details(METHODS["StreamTicks"]))
    stream = handler.stream_stream(messages(b"a", b"b"), context())
    assert await anext(stream) == b"a"
    await stream.aclose()
    assert closed == [True]


async def test_whoever_is_refused_is_served_by_nobody(tmp_path: Path) -> None:
    """Ray Serve's function does not run, so it counts nothing; the status travels with its details."""
    door, [token] = await opened(tmp_path / "keys.json", made_key("desk"))
    server = FakeServer()
    handler = IngressHandler(
        unary={"Predict": server.serve_unary},
        streamed={"StreamTicks": server.serve_stream},
        authorizer=door,
    )
    unary: Any = handler.service(Details(METHODS["Predict"]))
    streamed: Any = handler.service(Details(METHODS["StreamTicks"]))
    ends = [context(x_api_key=token + "x"), context()]
    assert await unary.unary_unary(b"request", ends[0]) == b""
    assert [response async for response in streamed.stream_stream(messages(b"a"), ends[1])] == []
    told = [(cast("Any", end).code, [name for name, _ in cast("Any", end).trailers]) for end in ends]
    assert told == [(grpc.StatusCode.UNAUTHENTICATED, ["grpc-status-details-bin"])] * 2
    assert server.seen == []


async def test_a_known_caller_cannot_take_another_name(tmp_path: Path) -> None:
    """The routing key goes on saying where a call goes, and no more whose it is."""
    door, [token] = await opened(tmp_path / "keys.json", made_key("desk", owner="house"))
    given = context(x_api_key=token, x_tickserve_routing_key="somebody else")
    call = call_from(METHODS["Predict"], given, Sampler(), door)
    assert (call.caller, call.owner, call.routing_key) == ("desk", "house", "somebody else")
    assert call.grant is not None
    free = call_from(METHODS["Predict"], given, Sampler(), open_to_all())
    assert (free.caller, free.owner, free.grant) == ("somebody else", "", None)


def test_methods_of_others_are_left_to_others() -> None:
    """An unknown method is not ours to answer."""
    assert IngressHandler(unary={}, streamed={}).service(Details("/tickserve.v1.PredictionService/Predict")) is None
    assert NativeHandler().service(Details("/grpc.health.v1.Health/Check")) is None


def test_ray_serve_sees_no_native_service(server: FakeServer) -> None:
    """Health and reflection are served, yet none of their functions can be replaced."""
    natives = [handler for handler in server.handlers if isinstance(handler, NativeHandler)]
    assert [handler._method_handlers for handler in natives] == [{}, {}]
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for method in ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", reflection):
        assert server.find(method) is not None


def test_reflection_can_be_left_out() -> None:
    """It is on only where the setting allows it."""
    server = FakeServer()
    ingress.add_services(object(), server)
    assert server.find("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") is None
    assert server.find("/grpc.health.v1.Health/Check") is not None


def test_the_contracts_methods_have_unique_short_names() -> None:
    """Ray Serve dispatches on the last segment alone."""
    assert sorted(METHODS) == [
        "GetModel", "GetStatistics", "Halt", "ListHalts", "ListModels", "ModelConfig", "ModelInfer", "ModelMetadata",
        "ModelReady", "ModelStatistics", "ModelStreamInfer", "Predict", "PredictBatch", "RepositoryIndex", "Resume",
        "ServerLive", "ServerMetadata", "ServerReady", "StreamPredict", "StreamTicks",
    ]  # fmt: skip
    assert {"ModelStreamInfer", "StreamPredict", "StreamTicks"} == STREAMED_METHODS


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE.upper()}-{SPAN}-00", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-may-bring", TRACE),
        ("", ""),
        (TRACE, ""),
        (f"00-{TRACE}", ""),
        (f"00-{TRACE[:-1]}-{SPAN}-01", ""),
        (f"00-{TRACE}0-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{'g' * 32}-{SPAN}-01", ""),
        ("00-" + "\u0661" * 32 + f"-{SPAN}-01", ""),
    ],
)
def test_trace_ids_are_read_or_left_out(traceparent: str, trace_id: str) -> None:
    """A malformed trace context is as good as none."""
    call = call_from("/m", context(traceparent=traceparent), Sampler(), open_to_all())
    assert call.trace_id == trace_id
    assert (call.trace is None) == (not trace_id)


def test_a_call_has_what_the_metadata_say() -> None:
    """The routing key, up to its longest; nothing where there is nothing, or where it is no text."""
    call = call_from("/m", context(x_tickserve_routing_key="k" * 256), Sampler(), open_to_all())
    assert call.routing_key == "k" * 256
    assert (call.rpc_deadline, call.trace_id) == (None, "")
    call = call_from("/m", context(x_tickserve_routing_key=b"\xff", traceparent=b"\xff"), Sampler(), open_to_all())
    assert (call.routing_key, call.trace) == ("", None)

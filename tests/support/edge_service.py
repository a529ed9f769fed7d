"""A TLS edge in front of a gRPC server that tells what reached it: the real HAProxy, without Ray behind it."""

import json
import queue
import ssl
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan
from server.edge.settings_edge import new_secret
from tests.support.certificates import Authority, Pair

_HEADERS = "/test/Headers"
_ECHO = "/test/Echo"
TIMEOUT = 30.0


@dataclass(frozen=True)
class EdgeService:
    """A running edge, its certificates and its secret."""

    edge: Edge
    plan: EdgePlan
    authority: Authority
    pair: Pair
    secret: str

    @property
    def target(self) -> str:
        """The gRPC side."""
        return f"127.0.0.1:{self.plan.grpc_port}"

    def channel(self, client: Pair | None = None, authority: Authority | None = None) -> grpc.Channel:
        """Returns a channel of its own connection."""
        trusted = (authority or self.authority).cert_pem
        mine = (None, None) if client is None else (client.key_pem, client.cert_pem)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
        return grpc.secure_channel(self.target, grpc.ssl_channel_credentials(trusted, *mine), options)

    def context(self) -> ssl.SSLContext:
        """Returns a context that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority.cert))


@contextmanager
def edge_service(folder: Path, plan: EdgePlan, *, identities: Mapping[str, str] | None = None) -> Iterator[EdgeService]:
    """Runs an edge with certificates of its own.

    Args:
        folder: For the certificates.
        plan: Ports and bounds; its `inner_grpc` is replaced.
        identities: Key ids by common name.
    """
    authority = Authority(folder / "authority")
    pair = authority.server()
    with echo_server() as inner:
        plan = replace(plan, inner_grpc=inner, maps_identities=bool(identities))
        secret = new_secret()
        files = CertificateFiles(cert=pair.cert, key=pair.key, client_ca=authority.cert)
        edge = Edge(plan, files, identities=dict(identities or {}), secret=secret, reload_interval=0.1)
        try:
            edge.prepare()
            edge.start()
            yield EdgeService(edge, plan, authority, pair, secret)
        finally:
            edge.close()


def headers(channel: grpc.Channel, *metadata: tuple[str, str]) -> list[tuple[str, str]]:
    """Returns the metadata with which a call reaches the server behind the edge."""
    answer: bytes = call(channel, _HEADERS)(b"", metadata=metadata, timeout=TIMEOUT, wait_for_ready=True)
    return [(name, value) for name, value in json.loads(answer)]


def call(channel: grpc.Channel, method: str = _HEADERS) -> Any:
    """Returns the callable of a unary method whose messages are plain bytes."""
    return channel.unary_unary(method)


class Echo:
    """A stream that is open, through the edge, as long as one likes.

    Args:
        channel: Its channel.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        start: Any = channel.stream_stream(_ECHO)
        self._answers = start(iter(self._sent.get, None), timeout=4 * TIMEOUT)

    def says(self, message: bytes) -> bool:
        """Tells whether a message comes back.

        Raises:
            grpc.RpcError: The stream was cut.
        """
        self._sent.put(message)
        return bool(next(self._answers) == message)

    def close(self) -> None:
        """Ends it in good order."""
        self._sent.put(None)
        for _ in self._answers:
            pass


@contextmanager
def echo_server() -> Iterator[str]:
    """Runs what is behind an edge: tells a call's metadata, and says back what a stream says; yields its address."""

    def tell(_request: bytes, context: grpc.ServicerContext) -> bytes:
        return json.dumps([entry for entry in context.invocation_metadata() if isinstance(entry[1], str)]).encode()

    def echo(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Headers": grpc.unary_unary_rpc_method_handler(tell),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    with futures.ThreadPoolExecutor(160) as pool:
        server = grpc.server(pool, handlers=[grpc.method_handlers_generic_handler("test", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()

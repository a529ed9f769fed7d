"""An OTLP/gRPC receiver that counts exports and forgets them: it shares the cores with what is measured.

Run as a process: prints its address, then, at the end of its input, how many exports and bytes it took.
"""

from __future__ import annotations

import sys
from concurrent import futures
from typing import Any

import grpc


class _Sink(grpc.GenericRpcHandler):
    """Answers every method with an empty message."""

    def __init__(self) -> None:
        self.exports = 0
        self.size = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        del context
        self.exports += 1
        self.size += len(request)
        return b""


def main() -> None:
    """Receives until its input ends."""
    sink = _Sink()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((sink,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()
    sys.stdout.write(f"{sink.exports} {sink.size}\n")


if __name__ == "__main__":
    main()

"""Runs a grpc.aio server until SIGTERM and prints `bare ready grpc=HOST:PORT` when it answers."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import grpc

from benchmarks.peers.bare.echo import SERVICE, Echo
from benchmarks.peers.bare.inline import InlinePredictor
from server import process_tree


async def _serve(arguments: argparse.Namespace) -> None:
    name, _, version = arguments.model.partition(":")
    model = (name, int(version), arguments.sha256)
    server = grpc.aio.server(options=(("grpc.max_concurrent_streams", 4096),))
    engine = (
        Echo(model)
        if arguments.echo
        else InlinePredictor(
            arguments.script, model=model, threads=arguments.threads, shape=(arguments.shape[0], arguments.shape[1])
        )
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, engine.handlers()),))
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"bare ready grpc=127.0.0.1:{arguments.port}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(grace=1.0)


def main() -> None:
    """Parses the arguments and serves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.bare", description=__doc__)
    parser.add_argument("--script", required=True, help="TorchScript file")
    parser.add_argument("--model", required=True, help="name:version that answers carry")
    parser.add_argument("--sha256", default="", help="hash that answers carry")
    parser.add_argument("--shape", type=int, nargs=2, required=True, help="features and steps of a window")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1, help="of one engine call")
    parser.add_argument("--echo", action="store_true", help="one constant answer, no engine: what gRPC itself costs")
    process_tree.die_with_parent()
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

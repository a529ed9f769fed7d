"""The service without Ray: a real replica behind the real seam, on a grpc.aio server of the test's own.

async with serving(make_registry(tmp_path)) as service:
    channel = grpc.aio.insecure_channel(service.target)
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from scripts.layering import ROOT
from server.config.settings import Settings
from server.health.health import Health
from server.observation.observer import Observer
from server.observation.sampler import Sampler
from server.replica import Replica
from server.rpc import ingress
from server.rpc.dispatch import Dispatcher
from server.rpc.ingress import Context, Streamed, Unary
from server.security.authorizer import Authorizer
from server.statistics.statistics_board import StatisticsBoard

REPLICA_ID = "replica-under-test"
COMPILED_CACHE = ROOT / "build" / "compiled-for-tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service.

    Attributes:
        target: Where its gRPC server listens.
        replica: What answers.
        health: What probes are told.
        settings: In force.
    """

    target: str
    replica: Replica
    health: Health
    settings: Settings


def settings_for(registry: Path, **overrides: Any) -> Settings:
    """Returns settings for a small and quick replica: TorchScript in fp32 with one thread, small batches."""
    values: dict[str, Any] = {
        "registry": registry,
        "engine": "torchscript",
        "precision": "fp32",
        "engine_threads": 1,
        "scheduler": {"max_batch_size": 8},
        "models": {"compiled_cache": COMPILED_CACHE},
        # A test that counts what its engine computed means requests.
        "health": {"deep_interval": 0},
        # Busy machines are slow: no test wants to fail by a default timeout.
        "default_timeouts": {"real_time": 30, "standard": 30, "background": 30},
    }
    return Settings(**values | overrides)


@contextlib.asynccontextmanager
async def serving(
    settings: Settings,
    *,
    board: StatisticsBoard | None = None,
    observers: Sequence[Observer] = (),
    sampler: Sampler | None = None,
) -> AsyncIterator[Service]:
    """Serves on a free loopback port while the context is entered; the registry must have a `cnn_lstm`."""
    health, sampler, authorizer = Health(), sampler or Sampler(), Authorizer()
    replica = Replica(
        settings,
        replica_id=REPLICA_ID,
        health=health,
        on_hang=lambda: None,
        board=board,
        observers=observers,
        sampler=sampler,
        authorizer=authorizer,
    )
    limit = settings.transport_max_message_bytes
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", 0)])
    unary, streamed = bytes_handlers(replica.dispatcher)
    ingress.add_to_server(server, unary=unary, streamed=streamed, health=health, sampler=sampler, authorizer=authorizer)
    ingress.add_reflection(server, authorizer)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await replica.start()
        yield Service(target=f"127.0.0.1:{port}", replica=replica, health=health, settings=settings)
    finally:
        await server.stop(grace=None)
        await replica.close()


def bytes_handlers(dispatcher: Dispatcher) -> tuple[dict[str, Unary], dict[str, Streamed]]:
    """Returns what Ray Serve would put in the place of the seam's functions: bytes to a dispatcher and back."""
    names = ingress.METHODS.keys()
    return (
        {name: _unary(dispatcher, name) for name in names - ingress.STREAMED_METHODS},
        {name: _streamed(dispatcher, name) for name in names & ingress.STREAMED_METHODS},
    )


def _unary(dispatcher: Dispatcher, name: str) -> Unary:
    async def serve(request: bytes, context: Context) -> bytes:
        return (await dispatcher.unary(name, request, context)).SerializeToString()

    return serve


def _streamed(dispatcher: Dispatcher, name: str) -> Streamed:
    async def serve(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(dispatcher.streamed(name, requests, context)) as responses:
            async for response in responses:
                yield response.SerializeToString()

    return serve

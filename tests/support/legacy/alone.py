"""The old service without Ray: the same gateway over the same predictor, in one process, on uvicorn.

Prints `legacy ready http=HOST:PORT` and runs until SIGTERM. For tests that need its answers and not its batching.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn

from tests.support.legacy.gateway import build_gateway
from tests.support.legacy.predictor import OldPredictor, Window


class Direct:
    """A handle without a deployment behind it: a batch of one, at once."""

    def __init__(self, predictor: OldPredictor) -> None:
        self._predictor = predictor

    async def predict(self, window: Window) -> dict[str, Any]:
        """Computes it."""
        return self._predictor.batch([window])[0]

    async def stats(self) -> dict[str, Any]:
        """Returns the predictor's own."""
        return self._predictor.stats()


class _Announced(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"legacy ready http={self.config.host}:{self.config.port}\n")
        sys.stdout.flush()


def serve(registry: str, port: int) -> None:
    """Serves on loopback until a signal.

    Args:
        registry: Folder of the registry.
        port: Of its HTTP side.
    """
    direct = Direct(OldPredictor(registry, threads=1))
    gateway = build_gateway(direct, direct)
    _Announced(uvicorn.Config(gateway, host="127.0.0.1", port=port, log_level="warning", access_log=False)).run()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))

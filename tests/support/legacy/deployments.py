"""The old deployments on Ray Serve: FastAPI in front, `@serve.batch` behind, with the documents' figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from ray import serve

from tests.support.legacy.gateway import build_gateway
from tests.support.legacy.predictor import OldPredictor

APPLICATION = "legacy"
FIRST, ENHANCED = "cnn_lstm_predictor", "enhanced_cnn_lstm_predictor"
_BATCH_WAIT = 0.01

Window = npt.NDArray[np.float32]


class First(OldPredictor):
    """The first document's deployment."""

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=_BATCH_WAIT)  # type: ignore[untyped-decorator]  # ray's
    async def batch_predict(self, windows: list[Window]) -> list[dict[str, Any]]:
        """Computes what came together, on the event loop, as the original did."""
        return self.batch(windows)


class Enhanced(OldPredictor):
    """The second document's."""

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=_BATCH_WAIT)  # type: ignore[untyped-decorator]  # ray's
    async def batch_predict(self, windows: list[Window]) -> list[dict[str, Any]]:
        """Computes what came together, on the event loop, as the original did."""
        return self.batch(windows)


class _Handle:
    """A deployment's handle, looked up when it is first used: the gateway may start before it."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def predict(self, window: Window) -> dict[str, Any]:
        found: dict[str, Any] = await self._handle.batch_predict.remote(window)
        return found

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._handle.stats.remote()
        return found

    @property
    def _handle(self) -> Any:
        return serve.get_deployment_handle(self._name, APPLICATION)


def _gateway() -> FastAPI:
    return build_gateway(_Handle(FIRST), _Handle(ENHANCED))


class Gateway:
    """The ingress; it is bound to both deployments so that they start with it."""

    def __init__(self, *_deployments: Any) -> None:
        pass


def application(registry: str) -> Any:
    """Returns the application.

    Args:
        registry: Folder of the registry.
    """
    options = {"ray_actor_options": {"num_cpus": 0.5}, "max_ongoing_requests": 100}
    first = serve.deployment(First, name=FIRST, **options).bind(registry, threads=1)
    enhanced = serve.deployment(Enhanced, name=ENHANCED, **options).bind(registry, threads=1)
    gateway = serve.deployment(serve.ingress(_gateway)(Gateway), name="gateway", ray_actor_options={"num_cpus": 0.1})
    return gateway.bind(first, enhanced)

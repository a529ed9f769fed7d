"""The old FastAPI gateway: the paths, bodies and errors of the original design's two documents.

Where a document leaves something open, it does what docs/http.md says that its own checks accept.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

_HEALTHY_WITHIN = 0.1


class Deployment(Protocol):
    """A handle to a deployment, as the gateway uses one."""

    async def predict(self, window: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Returns the result for one window; batched with others behind the handle."""
        ...

    async def stats(self) -> dict[str, Any]:
        """Returns the deployment's own figures."""
        ...


class PredictionRequest(BaseModel):
    """Body of `/ray-serve/predict`."""

    data: list[Any]
    return_uncertainty: bool = True
    use_ensemble: bool = True


class SinglePredictionRequest(BaseModel):
    """Body of `/batch-optimized/predict/single`."""

    data: list[list[float]]
    return_uncertainty: bool = True
    use_ensemble: bool = True
    priority: str = "normal"


class BatchPredictionRequest(BaseModel):
    """Body of `/batch-optimized/predict/batch`."""

    requests: list[list[list[float]]]
    batch_optimized: bool = True
    priority: str = "normal"
    return_uncertainty: bool = True
    use_ensemble: bool = True


def build_gateway(first: Deployment, enhanced: Deployment) -> FastAPI:
    """Returns the application.

    Args:
        first: `cnn_lstm_predictor`.
        enhanced: `enhanced_cnn_lstm_predictor`.
    """
    app = FastAPI()

    @app.post("/ray-serve/predict")
    async def predict(request: PredictionRequest) -> dict[str, Any]:
        try:
            result = await first.predict(np.array(request.data, dtype=np.float32))
        except Exception as error:
            raise HTTPException(status_code=500, detail=str(error)) from error
        result.pop("batch_size")
        return {
            "predictions": result,
            "processing_time_ms": result["processing_time_ms"],
            "uncertainty": {"regression_uncertainty": result["regression_uncertainty"]},
        }

    @app.get("/ray-serve/stats")
    async def stats() -> dict[str, Any]:
        return await first.stats()

    @app.post("/batch-optimized/predict/single")
    async def single(request: SinglePredictionRequest) -> dict[str, Any]:
        began = time.time()
        try:
            result = await enhanced.predict(np.array(request.data, dtype=np.float32))
        except Exception as error:
            raise HTTPException(status_code=500, detail=str(error)) from error
        return {"result": result, "processing_time_ms": (time.time() - began) * 1000, "priority": request.priority}

    @app.post("/batch-optimized/predict/batch")
    async def batch(request: BatchPredictionRequest) -> dict[str, Any]:
        began = time.time()
        chosen = enhanced if request.batch_optimized else first
        try:
            windows = [np.array(window, dtype=np.float32) for window in request.requests]
            results = await asyncio.gather(*map(chosen.predict, windows))
        except Exception as error:
            raise HTTPException(status_code=500, detail=str(error)) from error
        taken = (time.time() - began) * 1000
        return {
            "results": results,
            "total_processing_time_ms": taken,
            "average_latency_ms": taken / len(results) if results else 0,
            "batch_size": len(results),
            "optimization_used": request.batch_optimized,
        }

    @app.get("/batch-optimized/stats")
    async def optimized_stats() -> dict[str, Any]:
        return {"device": "cpu", "model_loaded": True, "batch_scheduler_stats": {}, "config": {"max_batch_size": 64}}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        began = time.time()
        try:
            await first.predict(np.random.default_rng(0).random((1, 50, 60), dtype=np.float32))
        except Exception as error:
            raise HTTPException(status_code=503, detail=str(error)) from error
        latency = time.time() - began
        is_healthy = latency < _HEALTHY_WITHIN
        return {
            "status": "healthy" if is_healthy else "degraded",
            "latency_ms": latency * 1000,
            "last_check": began,
            "is_healthy": is_healthy,
        }

    return app

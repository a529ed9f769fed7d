"""JSON schemas of the original design's bodies, which `original_messages` and `original_stats` read and write."""

from __future__ import annotations

from typing import Any

_NUMBER: dict[str, Any] = {"type": "number"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_TEXT: dict[str, Any] = {"type": "string"}
_TRUTH: dict[str, Any] = {"type": "boolean", "default": True}
_NUMBERS: dict[str, Any] = {"type": "array", "items": _NUMBER}
_NUMBERS_OR_NONE: dict[str, Any] = {"type": ["array", "null"], "items": _NUMBER}
_WINDOW: dict[str, Any] = {
    "type": "array",
    "items": _NUMBERS,
    "description": "[features][steps], 50 by 60 with the default model.",
}
_PRIORITY: dict[str, Any] = {"type": "string", "default": "normal", "description": "high, normal or low."}
_TRIMS = {"return_uncertainty": _TRUTH, "use_ensemble": _TRUTH}
_RESULT: dict[str, dict[str, Any]] = {
    "classification_probs": {**_NUMBERS, "description": "Of sell, hold, buy."},
    "regression_pred": {**_NUMBERS, "description": "Return, volatility."},
    "regression_uncertainty": _NUMBERS_OR_NONE,
    "ensemble_weights": _NUMBERS_OR_NONE,
    "processing_time_ms": _NUMBER,
}


def _written(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _read(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [required]}


_BATCHED = _written(**_RESULT, batch_size=_COUNT)

ORIGINAL_SCHEMAS: dict[str, dict[str, Any]] = {
    "PredictionRequest": _read(
        "data", data={"anyOf": [_WINDOW, {"type": "array", "items": _WINDOW, "minItems": 1, "maxItems": 1}]}, **_TRIMS
    ),
    "PredictionResponse": _written(
        predictions=_written(**_RESULT),
        processing_time_ms=_NUMBER,
        uncertainty={"anyOf": [_written(regression_uncertainty=_NUMBERS), {"type": "null"}]},
    ),
    "SinglePredictionRequest": _read("data", data=_WINDOW, **_TRIMS, priority=_PRIORITY),
    "SinglePredictionResponse": _written(result=_BATCHED, processing_time_ms=_NUMBER, priority=_TEXT),
    "BatchPredictionRequest": _read(
        "requests",
        requests={"type": "array", "items": _WINDOW},
        batch_optimized=_TRUTH,
        priority=_PRIORITY,
        **_TRIMS,
    ),
    "BatchPredictionResponse": _written(
        results={"type": "array", "items": _BATCHED},
        total_processing_time_ms=_NUMBER,
        average_latency_ms=_NUMBER,
        batch_size=_COUNT,
        optimization_used={"type": "boolean"},
    ),
    "DeploymentStats": _written(request_count=_COUNT, avg_processing_time_ms=_NUMBER, device=_TEXT),
    "OptimizedStats": _written(
        device=_TEXT,
        model_loaded={"type": "boolean"},
        batch_scheduler_stats={"type": "object"},
        config={"type": "object"},
    ),
}

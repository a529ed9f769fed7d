"""The OpenAPI document of the HTTP side. Owns what is said of each path; messages describe themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from server.http import models_routes, original_routes, predict_routes
from server.http.http_call import DEADLINE_HEADER
from server.http.openapi_originals import ORIGINAL_SCHEMAS
from server.http.openapi_schemas import REFERENCE, Schema, Schemas
from server.http.problem import PROBLEM_JSON
from server.refusal import Reason
from tickserve.v1 import model_service_pb2, prediction_service_pb2

_PROBLEM: Schema = {
    "type": "object",
    "description": "An error (RFC 9457). `reason` is the machine-readable one, the same as over gRPC.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string", "enum": [reason.name for reason in Reason]},
        "code": {"type": "string", "description": "The gRPC code of the reason."},
        "field": {"type": "string", "description": "Path of the member to blame."},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "retryDelay": {"type": "string", "pattern": r"^[0-9]+\.[0-9]{3}s$"},
        "fields": {"type": "array", "items": {"type": "object"}},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type", "title", "status"],
}
_ERRORS = {
    "400": "The request is at fault; `field` says where.",
    "401": "An API key is missing, or not valid.",
    "403": "The key may not do this.",
    "404": "There is no such model, or symbol.",
    "408": "The body did not arrive in time.",
    "409": "The state forbids it, such as a halt or a stale window.",
    "413": "The body is too long.",
    "415": "The body is not JSON.",
    "429": "More than the service, or the caller's limit, takes now; `retryDelay` says when to try again.",
    "431": "The headers are too long, or too many.",
    "500": "The service failed; `metadata.trace_id` finds the line in its log.",
    "503": "The replica is starting or stopping, or a store is gone; try again.",
    "504": "The deadline passed.",
}
_BODY_ERRORS = frozenset({"408", "413", "415"})
_DEADLINE: Schema = {
    "name": DEADLINE_HEADER,
    "in": "header",
    "description": "Milliseconds that the caller waits, from now on, as a gRPC deadline.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"key": []}]


def build_document(version: str) -> dict[str, Any]:
    """Returns the document.

    Args:
        version: Of the service.
    """
    schemas = Schemas()

    def message(kind: Descriptor, *, is_input: bool = False) -> Schema:
        return schemas.reference(kind, is_input=is_input)

    def original(name: str) -> Schema:
        return {"$ref": REFERENCE + name}

    # What is read comes first: a message that is both read and written is told as what may be read.
    services, models = prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR
    requests = services.message_types_by_name
    window = message(requests["PredictRequest"], is_input=True)
    several = message(requests["PredictBatchRequest"], is_input=True)
    _allow_plain_lists(schemas)
    paths = {
        predict_routes.PREDICT: _post("predict", "Answers one window.", window, message(requests["PredictResponse"])),
        predict_routes.BATCH: _post(
            "predictBatch",
            "Answers several windows under one deadline, each with its own result.",
            several,
            message(requests["PredictBatchResponse"]),
        ),
        models_routes.MODELS: _get(
            "listModels",
            "Lists the versions of all models.",
            message(models.message_types_by_name["ListModelsResponse"]),
            _query("pageSize", {"type": "integer", "minimum": 0, "maximum": 1000}),
            _query("pageToken", {"type": "string"}),
        ),
        models_routes.STATS: _get(
            "getStatistics",
            "Tells how the replicas fare.",
            message(models.message_types_by_name["GetStatisticsResponse"]),
            _query("deepCheck", {"type": "boolean"}),
        ),
        original_routes.PREDICT: _post(
            "originalPredict", _moved("/v1/predict"), original("PredictionRequest"), original("PredictionResponse")
        ),
        original_routes.SINGLE: _post(
            "originalPredictSingle",
            _moved("/v1/predict"),
            original("SinglePredictionRequest"),
            original("SinglePredictionResponse"),
        ),
        original_routes.BATCH: _post(
            "originalPredictBatch",
            _moved("/v1/predict:batch"),
            original("BatchPredictionRequest"),
            original("BatchPredictionResponse"),
        ),
        original_routes.STATS: _get("originalStats", _moved("/v1/stats"), original("DeploymentStats")),
        original_routes.OPTIMIZED_STATS: _get(
            "originalOptimizedStats", _moved("/v1/stats"), original("OptimizedStats")
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tickserve",
            "version": version,
            "description": "Predictions for market windows, before their deadline or not at all. The same scheduler, "
            "keys, limits and reasons as over gRPC. `/ray-serve` and `/batch-optimized` are for callers of the "
            "original design.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **schemas.components, **ORIGINAL_SCHEMAS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": _SECURITY,
    }


def _post(name: str, text: str, body: Schema, answer: Schema) -> dict[str, Any]:
    operation = _operation(name, text, answer, [_DEADLINE], _ERRORS)
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return {"post": operation}


def _get(name: str, text: str, answer: Schema, *query: Schema) -> dict[str, Any]:
    errors = {status: words for status, words in _ERRORS.items() if status not in _BODY_ERRORS}
    return {"get": _operation(name, text, answer, [*query, _DEADLINE], errors)}


def _operation(
    name: str, text: str, answer: Schema, parameters: list[Schema], errors: Mapping[str, str]
) -> dict[str, Any]:
    problem = {"content": {PROBLEM_JSON: {"schema": {"$ref": f"{REFERENCE}Problem"}}}}
    return {
        "operationId": name,
        "summary": text,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            **{status: {"description": words, **problem} for status, words in errors.items()},
        },
    }


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _moved(path: str) -> str:
    return f"The original design's endpoint; new callers take `{path}`."


def _allow_plain_lists(schemas: Schemas) -> None:
    """Says that a window's numbers may be a list by itself, which only we read."""
    values = schemas.components["Window"]["properties"]["values"]
    numbers = schemas.components["FloatValues"]["properties"]["values"]
    schemas.components["Window"]["properties"]["values"] = {"anyOf": [numbers, values]}

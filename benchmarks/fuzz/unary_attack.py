"""Damaged requests to the unary RPCs, several at once: each is answered, or refused with a reason."""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError

from benchmarks.fuzz.corpus import REQUESTS
from benchmarks.fuzz.doorway import Doorway
from benchmarks.fuzz.laws import LawBrokenError, check_answer, reason_of, refusal_of
from benchmarks.fuzz.round import Round
from tickserve.v1 import model_service_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchRequest,
    PredictBatchResponse,
    PredictRequest,
    PredictResponse,
)

_AT_ONCE = 16
UNARY = ("Predict", "PredictBatch", "ListModels", "GetModel", "GetStatistics")
"""The RPCs that are attacked here."""
_WEIGHTS = (65, 20, 6, 6, 3)
_REMAINING = (None, None, None, None, None, 30.0, 1e9, 1e-4, 0.0, -1.0)


async def attack_unary(doorway: Doorway, the_round: Round) -> None:
    """Sends a round of them.

    Raises:
        LawBrokenError: An outcome that must not be.
    """
    for size in the_round.groups(_AT_ONCE):
        await asyncio.gather(*(_one(doorway, the_round) for _ in range(size)))


async def _one(doorway: Doorway, the_round: Round) -> None:
    chance = the_round.chance
    [method] = chance.choices(UNARY, _WEIGHTS)
    # Most with an id of their own: under one id they would be refused for that, before anything else is looked at.
    request_id = f"u{chance.randrange(2**40)}" if method == "Predict" and chance.random() < 0.8 else ""
    data = the_round.damage(method, request_id=request_id)
    outcome = await doorway.call(method, data, remaining=chance.choice(_REMAINING))
    if outcome.context.code is not None:
        the_round.ended(method, refusal_of(outcome.context))
        return
    the_round.ended(method, "answered")
    try:
        REQUESTS[method].FromString(data)
    except DecodeError:
        raise LawBrokenError(f"{method}: garbage was answered") from None
    [response] = outcome.responses
    match method:
        case "Predict":
            _check_predict(data, response)
        case "PredictBatch":
            _check_batch(data, response, the_round)
        case "ListModels":
            model_service_pb2.ListModelsResponse.FromString(response)
        case "GetModel":
            assert model_service_pb2.GetModelResponse.FromString(response).model.version.version in {1, 2}
        case _:
            assert model_service_pb2.GetStatisticsResponse.FromString(response).replicas


def _check_predict(data: bytes, response: bytes) -> None:
    request, answer = PredictRequest.FromString(data), PredictResponse.FromString(response)
    if answer.request_id != request.request_id:
        raise LawBrokenError(f"the answer to {answer.request_id!r} came for {request.request_id!r}")
    check_answer(answer.prediction, request)


def _check_batch(data: bytes, response: bytes, the_round: Round) -> None:
    request, answer = PredictBatchRequest.FromString(data), PredictBatchResponse.FromString(response)
    if [item.request_id[:128] for item in request.items] != [result.request_id for result in answer.results]:
        raise LawBrokenError("a batch's results are not its items'")
    for item, result in zip(request.items, answer.results, strict=True):
        if result.WhichOneof("result") == "prediction":
            check_answer(result.prediction, item)
            the_round.ended("PredictBatch item", "answered")
        else:
            the_round.ended("PredictBatch item", reason_of(result.error))

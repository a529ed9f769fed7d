"""Reads what comes back for the items of a batch or a stream: a prediction, or the error of that item alone."""

from __future__ import annotations

import grpc

from tickserve.errors import TickserveError, TransportError, error_from_status
from tickserve.prediction import Prediction
from tickserve.v1 import prediction_service_pb2

__all__ = ("Result", "batch_results", "read_result")

Result = Prediction | TickserveError
"""What an item of a batch or a stream ends with; errors are values here, since one must not spoil the others."""


def read_result(
    message: prediction_service_pb2.PredictBatchResult | prediction_service_pb2.StreamPredictResponse,
) -> Result:
    """Reads one item's result; an answer that holds neither is an error, never silence."""
    match message.WhichOneof("result"):
        case "prediction":
            return Prediction.from_proto(message.prediction)
        case "error":
            return error_from_status(message.error)
        case _:
            return TransportError(
                "the answer holds neither a prediction nor an error that this client knows",
                code=grpc.StatusCode.INTERNAL,
            )


def batch_results(response: prediction_service_pb2.PredictBatchResponse, item_count: int) -> list[Result]:
    """Reads the results of a batch, in input order.

    Raises:
        TransportError: There are more or fewer results than items, so that none can be trusted to be its item's.
    """
    if len(response.results) != item_count:
        raise TransportError(
            f"{len(response.results)} results came back for {item_count} items", code=grpc.StatusCode.INTERNAL
        )
    return [read_result(result) for result in response.results]

"""What must hold of every outcome, whatever was sent. Pure.

A refusal is typed: one `ErrorInfo` of ours with a reason other than INFERENCE_FAILED, which is the reason of a fault of
our own. An answer is right: what the fake engine says of the very window that the message holds.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from benchmarks.fuzz.doorway import CallContext
from server.config.settings import Settings
from server.refusal import Reason
from tests.support.raw_client import Refused, read_status
from tickserve.v1.prediction_pb2 import Prediction
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictRequest,
    StreamPredictRequest,
    StreamTicksRequest,
)
from tickserve.v1.window_pb2 import Window

REASONS = {reason.name for reason in Reason} - {Reason.INFERENCE_FAILED.name}
_TRAILER = "grpc-status-details-bin"
_TOLERANCE = 1e-5
# Above it a message is refused unread.
_MOST_BYTES: int = Settings.model_fields["max_request_bytes"].default


class LawBrokenError(AssertionError):
    """An outcome that must not be. The message says which."""


def refusal_of(context: CallContext) -> str:
    """Returns the reason that an RPC was refused for.

    Raises:
        LawBrokenError: The refusal is not typed, or admits a fault of ours.
    """
    trailers = dict(context.trailers)
    value = trailers.get(_TRAILER)
    if not isinstance(value, bytes):
        raise LawBrokenError(f"an error without a reason: {context.code} {context.details}")
    refused = read_status(status_pb2.Status.FromString(value))
    if (refused.code, refused.message) != (context.code, context.details):
        raise LawBrokenError(f"trailers and status differ: {refused} {context.code} {context.details}")
    return typed(refused)


def reason_of(status: status_pb2.Status) -> str:
    """Returns the reason that one item was refused for; see `refusal_of`."""
    return typed(read_status(status))


def typed(refused: Refused) -> str:
    """Returns the reason of a typed refusal.

    Raises:
        LawBrokenError: It is none.
    """
    if refused.domain != "tickserve" or refused.reason not in REASONS or refused.code is grpc.StatusCode.INTERNAL:
        raise LawBrokenError(f"not a typed refusal: {refused}")
    return refused.reason


def check_answer(prediction: Prediction, message: PredictRequest | PredictBatchItem | StreamPredictRequest) -> None:
    """Holds an answer to the window it is the answer to; one to a symbol's window only to its form.

    Raises:
        LawBrokenError: It is another window's, or no distribution.
    """
    check_form(prediction)
    kind = message.WhichOneof("input")
    if kind is None:
        raise LawBrokenError("answered although nothing was asked")
    if kind == "window":
        have, need = prediction.classes[2].probability, 0.2 + 0.1 * math.tanh(_first_value(message.window))
        if abs(have - need) > _TOLERANCE:
            raise LawBrokenError(f"a wrong answer: {have}, not {need}")


def check_form(prediction: Prediction) -> None:
    """Holds an answer to what all have in common.

    Raises:
        LawBrokenError: It is no distribution over three classes.
    """
    shares = [share.probability for share in prediction.classes]
    if len(shares) != 3 or not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > _TOLERANCE:
        raise LawBrokenError(f"no distribution: {shares}")


def read_ticks(messages: Sequence[bytes]) -> list[StreamTicksRequest | None]:
    """Returns what the messages of a tick stream say; None for those that say nothing, or are too large to be read."""
    read: list[StreamTicksRequest | None] = []
    for data in messages:
        try:
            read.append(StreamTicksRequest.FromString(data) if len(data) <= _MOST_BYTES else None)
        except DecodeError:
            read.append(None)
    return read


def _first_value(window: Window) -> float:
    if window.WhichOneof("data") == "raw_float32":
        [value] = struct.unpack("<f", window.raw_float32[:4])
        return float(value)
    return window.values.values[0]

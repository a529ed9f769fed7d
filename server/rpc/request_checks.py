"""What is decided about a request as a whole, beyond its single fields. Pure; knows nothing of how it is answered."""

from __future__ import annotations

import hashlib

from server.refusal import Reason, Refusal
from tickserve.v1.prediction_service_pb2 import PredictBatchItem, PredictBatchRequest, PredictRequest


def check_count(count: int, *, limit: int, field: str = "items") -> None:
    """Refuses a batch of none, or of too many; `field` is what tells how many they are."""
    if not count:
        raise Refusal(Reason.MISSING_INPUT, "Send at least one item.", field=field)
    if count > limit:
        raise Refusal(
            Reason.TOO_MANY_WINDOWS,
            f"At most {limit} items are taken in one request; split it, or use StreamPredict.",
            field=field,
            metadata={"limit": str(limit), "have": str(count)},
        )


def payload_digest(item: PredictRequest | PredictBatchItem, request: PredictRequest | PredictBatchRequest) -> bytes:
    """Returns the digest of all that decides an answer: how urgent it is, and until when, is no part of it."""
    digest = hashlib.sha256()
    asked = item.window if item.WhichOneof("input") == "window" else None
    for part in (request.model, request.options, request.max_age, asked):
        data = b"" if part is None else part.SerializeToString()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    digest.update(item.symbol.encode())
    return digest.digest()


def claim_id(request_id: str, in_flight: set[str]) -> None:
    """Takes a stream item's id, which must be set and not in flight."""
    if not request_id:
        raise Refusal(Reason.MISSING_INPUT, "Set request_id: answers come out of order.", field="request_id")
    if request_id in in_flight:
        raise Refusal(
            Reason.REQUEST_ID_REUSED, "This request_id is still in flight on this stream.", field="request_id"
        )
    in_flight.add(request_id)

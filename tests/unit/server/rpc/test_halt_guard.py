"""Laws of the last look: no message leaves with a halted prediction in it, and all else leaves as it is."""

import pytest

from server.call import Call
from server.refusal import Reason, Refusal
from server.rpc.errors import to_status
from server.rpc.halt_guard import HaltGuard
from server.security.halt_view import Halts
from tests.support.halts import EVERYTHING, halted, scope
from tests.support.raw_client import read_status
from tickserve.v1.model_service_pb2 import ListModelsResponse
from tickserve.v1.prediction_pb2 import InputEvidence, ModelVersion, Prediction
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchResponse,
    PredictBatchResult,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksResponse,
)
from tickserve.v1.tick_pb2 import TickPrediction, TickProgress

CALL = Call(method="/m", received_at=0.0, owner="desk")


def prediction(version: int = 1, symbol: str = "EUR") -> Prediction:
    """Returns an answer of a version of `m`."""
    return Prediction(model=ModelVersion(name="m", version=version), input=InputEvidence(symbol=symbol))


@pytest.fixture
def halts() -> Halts:
    """What is halted."""
    return Halts()


@pytest.mark.parametrize(
    "stopped",
    [EVERYTHING, scope("model", "m"), scope("model", "m", 1), scope("symbol", "EUR"), scope("key", "desk")],
    ids=str,
)
def test_no_way_out_carries_what_is_halted(halts: Halts, stopped: object) -> None:
    """The unary call fails; items and ticks become errors under their own names."""
    halted(halts, stopped)  # type: ignore[arg-type]  # a scope
    leaving = HaltGuard(halts).leaving
    with pytest.raises(Refusal) as caught:
        leaving(PredictResponse(request_id="r", prediction=prediction()), CALL)
    assert caught.value.reason is Reason.HALTED
    item = leaving(StreamPredictResponse(request_id="r", prediction=prediction()), CALL)
    assert isinstance(item, StreamPredictResponse)
    assert (item.request_id, read_status(item.error).reason) == ("r", "HALTED")
    due = TickPrediction(symbol="EUR", sequence=7, prediction=prediction())
    tick = leaving(StreamTicksResponse(prediction=due), CALL)
    assert isinstance(tick, StreamTicksResponse)
    assert (tick.error.symbol, tick.error.sequence) == ("EUR", 7)
    assert read_status(tick.error.error).metadata["scope"] == str(stopped)


def test_of_a_batch_the_halted_items_alone_are_refused(halts: Halts) -> None:
    """In their places; what has failed otherwise keeps its own error."""
    halted(halts, scope("symbol", "EUR"))
    failed = to_status(Refusal(Reason.QUEUE_FULL, "Full.", retry_delay=1.0))
    response = PredictBatchResponse(
        results=[
            PredictBatchResult(request_id="a", prediction=prediction()),
            PredictBatchResult(request_id="b", prediction=prediction(symbol="USD")),
            PredictBatchResult(request_id="c", error=failed),
        ]
    )
    left = HaltGuard(halts).leaving(response, CALL)
    assert isinstance(left, PredictBatchResponse)
    assert [result.request_id for result in left.results] == ["a", "b", "c"]
    assert read_status(left.results[0].error).reason == "HALTED"
    assert left.results[1].prediction == prediction(symbol="USD")
    assert read_status(left.results[2].error).reason == "QUEUE_FULL"


def test_what_is_not_halted_leaves_as_it_is(halts: Halts) -> None:
    """With other halts in force and with none, and so do messages that carry no prediction."""
    guard = HaltGuard(halts)
    messages = (
        PredictResponse(prediction=prediction(2, "USD")),
        StreamPredictResponse(error=to_status(Refusal(Reason.QUEUE_FULL, "Full."))),
        StreamTicksResponse(progress=TickProgress(symbol="EUR")),
        ListModelsResponse(next_page_token="t"),
    )
    for scopes in ((), (scope("model", "m", 1), scope("symbol", "EUR"), scope("key", "other"))):
        halted(halts, *scopes)
        assert all(guard.leaving(message, CALL) is message for message in messages)

"""The last look at every answer: nothing that is halted leaves, however long ago it was computed.

An answer may wait after it is made: for the other items of its batch, or for a client that does not read. Pure but for
the view of the halts; knows the messages that carry predictions, and where.
"""

from __future__ import annotations

from google.protobuf.message import Message

from server.call import Call
from server.refusal import Refusal
from server.rpc.errors import to_status
from server.security.halt import Subject
from server.security.halt_view import Halts
from tickserve.v1.prediction_pb2 import Prediction
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchResponse,
    PredictBatchResult,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksResponse,
)
from tickserve.v1.tick_pb2 import TickError


class HaltGuard:
    """Looks.

    Args:
        halts: What is halted.
    """

    def __init__(self, halts: Halts) -> None:
        self._halts = halts

    def leaving(self, response: Message, call: Call) -> Message:
        """Returns what is sent: the response, or one that says HALTED in each place of a halted prediction.

        Raises:
            Refusal: HALTED; the response is that of a unary call and all of it is halted.
        """
        if self._halts.is_idle:
            return response
        match response:
            case PredictResponse():
                refusal = self._refusal(response.prediction, call)
                if refusal is not None:
                    raise refusal
            case PredictBatchResponse():
                for result in response.results:
                    if result.HasField("prediction"):
                        refusal = self._refusal(result.prediction, call)
                        if refusal is not None:
                            result.CopyFrom(PredictBatchResult(request_id=result.request_id, error=to_status(refusal)))
            case StreamPredictResponse() if response.HasField("prediction"):
                refusal = self._refusal(response.prediction, call)
                if refusal is not None:
                    return StreamPredictResponse(request_id=response.request_id, error=to_status(refusal))
            case StreamTicksResponse() if response.HasField("prediction"):
                due = response.prediction
                refusal = self._refusal(due.prediction, call)
                if refusal is not None:
                    error = TickError(symbol=due.symbol, sequence=due.sequence, error=to_status(refusal))
                    return StreamTicksResponse(error=error)
        return response

    def _refusal(self, prediction: Prediction, call: Call) -> Refusal | None:
        model = prediction.model
        return self._halts.refusal(Subject(model.name, model.version, prediction.input.symbol, call.key_id))

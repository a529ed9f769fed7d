"""What the bytes on the wire mean: tickserve's own contract, or the Open Inference Protocol that Triton speaks."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.load.plan import ExpectedModel
from benchmarks.peers.answer import prediction_of
from tickserve.errors import TickserveError, error_from_status
from tickserve.v1.prediction_pb2 import ModelVersion, Prediction
from tickserve.v1.prediction_service_pb2 import PredictResponse, StreamPredictResponse


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a prediction, or a status code with a reason.

    Attributes:
        prediction: The answer; None: an error.
        request_id: As the answer echoes it.
        code: Name of the gRPC status code.
        reason: Of tickserve's ErrorInfo; empty where there is none.
        retry_delay: Seconds that the server asks the caller to wait, or None.
    """

    prediction: Prediction | None
    request_id: str = ""
    code: str = "OK"
    reason: str = ""
    retry_delay: float | None = None


class WireProtocol(Protocol):
    """How a server is spoken to.

    Attributes:
        unary_method: Path of the unary method.
        stream_method: Path of the bidirectional one.
    """

    unary_method: str
    stream_method: str

    def read_unary(self, raw: bytes) -> Reply:
        """Returns what a unary call came back with."""

    def read_streamed(self, raw: bytes) -> Reply:
        """Returns what one message of a stream says."""


class TickserveProtocol:
    """`tickserve.v1`, which the peers of our own speak, too."""

    unary_method = "/tickserve.v1.PredictionService/Predict"
    stream_method = "/tickserve.v1.PredictionService/StreamPredict"

    def read_unary(self, raw: bytes) -> Reply:
        """See `WireProtocol`."""
        response = PredictResponse.FromString(raw)
        return Reply(response.prediction, response.request_id)

    def read_streamed(self, raw: bytes) -> Reply:
        """See `WireProtocol`."""
        response = StreamPredictResponse.FromString(raw)
        if response.HasField("error"):
            error = error_reply(error_from_status(response.error))
            return dataclasses.replace(error, request_id=response.request_id)
        return Reply(response.prediction, response.request_id)


class InferenceProtocol:
    """The Open Inference Protocol; answers become tickserve's messages, as a client of either would need its own.

    Args:
        model: Whose name and version the answers are held to.
    """

    unary_method = "/inference.GRPCInferenceService/ModelInfer"
    stream_method = "/inference.GRPCInferenceService/ModelStreamInfer"

    def __init__(self, model: ExpectedModel) -> None:
        self._model = model

    def read_unary(self, raw: bytes) -> Reply:
        """See `WireProtocol`."""
        return self._reply(service_pb2.ModelInferResponse.FromString(raw))

    def read_streamed(self, raw: bytes) -> Reply:
        """See `WireProtocol`."""
        response = service_pb2.ModelStreamInferResponse.FromString(raw)
        if response.error_message:
            return Reply(None, response.infer_response.id, code="UNAVAILABLE", reason=response.error_message)
        return self._reply(response.infer_response)

    def _reply(self, response: service_pb2.ModelInferResponse) -> Reply:
        row = [np.frombuffer(raw, dtype="<f4") for raw in response.raw_output_contents]
        # Triton counts versions of its own repository from one; it is the name that tells a mix-up.
        version = ModelVersion(name=response.model_name, version=self._model.version, sha256=self._model.sha256)
        return Reply(prediction_of(row, version), response.id)


def error_reply(error: TickserveError) -> Reply:
    """Returns an error as a reply."""
    return Reply(None, code=error.code.name, reason=error.reason, retry_delay=error.retry_delay)

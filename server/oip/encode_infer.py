"""Answers, and what stands for them, to messages of the Open Inference Protocol. `decode_infer` is its counterpart."""

from __future__ import annotations

from tritonclient.grpc import service_pb2

from server.inference.predictor import Answer
from server.oip.tensors import Tensor, bytes_of
from server.refusal import Refusal

_FINAL = "triton_final_response"
_VERSIONS = "model_versions"


def write_response(
    response: service_pb2.ModelInferResponse, answers: list[Answer], outputs: list[Tensor], *, request_id: str
) -> None:
    """Fills in the answer to a request.

    Args:
        response: Empty.
        answers: Of its windows, in their order; at least one.
        outputs: What is told of them, in this order.
        request_id: The caller's.
    """
    model = answers[0].task.work.model
    versions = [answer.task.work.model.version for answer in answers]
    response.id, response.model_name = request_id, model.name
    parameters = response.parameters
    if len(set(versions)) == 1:
        response.model_version = str(model.version)
        parameters["model_sha256"].string_param = model.sha256
    else:
        # Stable has answered some windows in a failed candidate's place: no one version is the truth.
        parameters[_VERSIONS].string_param = ",".join(map(str, versions))
    parameters["replica_id"].string_param = answers[0].replica_id
    if answers[0].task.trace_id:
        parameters["trace_id"].string_param = answers[0].task.trace_id
    for output in outputs:
        response.outputs.add(name=output.name, datatype=output.datatype, shape=(len(answers), *output.shape))
        response.raw_output_contents.append(bytes_of(output, answers))


def versions_of(response: service_pb2.ModelInferResponse) -> list[int]:
    """Returns the versions that a response of ours names."""
    if response.model_version:
        return [int(response.model_version)]
    return [int(version) for version in response.parameters[_VERSIONS].string_param.split(",")]


def mark_final(response: service_pb2.ModelInferResponse) -> None:
    """Says that a stream's request has no further response: each has one."""
    response.parameters[_FINAL].bool_param = True


def write_failure(refusal: Refusal, request_id: str) -> service_pb2.ModelStreamInferResponse:
    """Returns a stream's answer to a request that failed.

    The protocol has a text for it; what programs want to know stands in the parameters, as `ErrorInfo` has it.
    """
    response = service_pb2.ModelStreamInferResponse(error_message=str(refusal))
    inner = response.infer_response
    inner.id = request_id
    inner.parameters["reason"].string_param = refusal.reason.name
    if refusal.field:
        inner.parameters["field"].string_param = refusal.field
    if refusal.retry_delay is not None:
        inner.parameters["retry_delay"].double_param = refusal.retry_delay
    mark_final(inner)
    return response

"""Laws of the Open Inference Protocol's responses: a response names who answered, and nobody who did not."""

import dataclasses

import numpy as np
from tritonclient.grpc import service_pb2

from server.inference.predictor import Answer
from server.oip.encode_infer import versions_of, write_failure, write_response
from server.oip.tensors import bytes_of, is_default, outputs_of
from server.refusal import Reason, Refusal
from tests.support.ended_requests import answered
from tests.support.fakes import served_model
from tests.support.oip import outputs


def answer(version: int, *, unusual: bool = False) -> Answer:
    """Returns what a version has answered."""
    found = answered(model=served_model(version=version)).answer
    assert found is not None
    return dataclasses.replace(found, out_of_distribution=unusual)


def written(*answers: Answer) -> service_pb2.ModelInferResponse:
    """Returns the response that tells of answers."""
    response = service_pb2.ModelInferResponse()
    config = answers[0].task.work.model.config
    # The fake engine has another number of features than the model says.
    chosen = [output for output in outputs_of(config.network) if is_default(output)]
    write_response(response, list(answers), chosen, request_id="r")
    return response


def test_one_version_is_named_with_its_hash() -> None:
    """Whoever keeps the response can tell what computed it."""
    response = written(answer(7), answer(7))
    assert (response.model_version, versions_of(response)) == ("7", [7])
    assert response.parameters["model_sha256"].string_param == f"{7:064x}"
    assert response.parameters["trace_id"].string_param == "ab" * 16


def test_windows_of_several_versions_are_told_apart() -> None:
    """Stable may have answered some of them in a failed candidate's place: then no single version is named."""
    response = written(answer(3), answer(2), answer(3))
    assert response.model_version == ""
    assert "model_sha256" not in response.parameters
    assert response.parameters["model_versions"].string_param == "3,2,3"
    assert versions_of(response) == [3, 2, 3]


def test_rows_keep_the_order_of_the_windows() -> None:
    """Each output has one row a window, and a flag for the unusual one alone."""
    tensors = outputs(written(answer(1), answer(1, unusual=True), answer(1)))
    assert tensors["out_of_distribution"].tolist() == [[False], [True], [False]]
    assert {len(values) for values in tensors.values()} == {3}


def test_numbers_are_little_endian_whatever_the_engine_gives() -> None:
    """A client reads bytes."""
    given = answer(1)
    swapped = dataclasses.replace(
        given, row=dataclasses.replace(given.row, regression_mean=given.row.regression_mean.astype(">f4"))
    )
    [mean] = [output for output in outputs_of(given.task.work.model.config.network) if output.name == "regression_mean"]
    assert bytes_of(mean, [swapped]) == np.asarray(given.row.regression_mean, "<f4").tobytes()


def test_a_failure_tells_programs_what_its_text_tells_people() -> None:
    """Reason, field and delay, under the request's id."""
    told = write_failure(Refusal(Reason.RATE_LIMITED, "Slower.", field="f", retry_delay=0.5), "r")
    assert told.error_message == "RATE_LIMITED: Slower."
    parameters = told.infer_response.parameters
    assert told.infer_response.id == "r"
    assert (parameters["reason"].string_param, parameters["field"].string_param) == ("RATE_LIMITED", "f")
    assert parameters["retry_delay"].double_param == 0.5
    plain = write_failure(Refusal(Reason.HALTED, "No."), "").infer_response
    assert set(plain.parameters) == {"reason", "triton_final_response"}

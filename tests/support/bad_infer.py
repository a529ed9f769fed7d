"""The table of bad requests of the Open Inference Protocol, and the typed error that each must get. Data only."""

from typing import Any

import numpy as np

from tests.support import oip

MOST = 4
"""The most windows of one request where the table is used."""


def spoilt(**changes: Any) -> Any:
    """Returns a request that is valid but for its input's fields that are given."""
    request = oip.infer()
    for name, value in changes.items():
        if name == "shape":
            del request.inputs[0].shape[:]
            request.inputs[0].shape.extend(value)
        elif name == "raw":
            del request.raw_input_contents[:]
            request.raw_input_contents.extend(value)
        elif name == "detour":
            oip.set_parameter(request.inputs[0].parameters[value], "region")
        else:
            setattr(request.inputs[0], name, value)
    return request


def with_output_parameter(name: str) -> Any:
    """Returns a request whose first output has a parameter."""
    request = oip.infer(outputs=["class_probabilities"])
    oip.set_parameter(request.outputs[0].parameters[name], 1)
    return request


def without_input() -> Any:
    """Returns a request with no input at all."""
    request = oip.infer()
    del request.inputs[:]
    return request


def of_two_inputs() -> Any:
    """Returns a request with an input too many."""
    request = oip.infer()
    request.inputs.add(name="other", datatype="FP32", shape=[1])
    return request


def in_both_forms() -> Any:
    """Returns a request with its numbers as bytes and as numbers."""
    request = oip.infer()
    request.inputs[0].contents.fp32_contents.append(1.0)
    return request


def of_other_numbers() -> Any:
    """Returns a request whose numbers are no float32."""
    request = spoilt(raw=[])
    request.inputs[0].contents.int_contents.extend([1] * 3000)
    return request


def parameter(name: str, value: Any) -> Any:
    """Returns a request with a parameter."""
    return oip.infer(parameters={name: value})


def nan(at: int, *, typed: bool = False) -> Any:
    """Returns a request of two windows with one number that is none."""
    values = oip.made_windows(2)
    values.reshape(-1)[at] = np.nan
    return oip.infer(values, typed=typed)


BAD: dict[str, tuple[Any, str, str]] = {
    "no input": (without_input(), "MISSING_INPUT", "inputs"),
    "two inputs": (of_two_inputs(), "INVALID_TENSOR", "inputs[1]"),
    "another input": (spoilt(name="bars"), "INVALID_TENSOR", "inputs[0].name"),
    "another type": (spoilt(datatype="FP64"), "INVALID_TENSOR", "inputs[0].datatype"),
    "no shape": (spoilt(shape=[]), "INVALID_SHAPE", "inputs[0].shape"),
    "no windows": (spoilt(shape=[0, 50, 60]), "MISSING_INPUT", "inputs[0].shape"),
    "negative windows": (spoilt(shape=[-1, 50, 60]), "MISSING_INPUT", "inputs[0].shape"),
    "too many windows": (oip.infer(oip.made_windows(MOST + 1)), "TOO_MANY_WINDOWS", "inputs[0].shape"),
    "countless windows": (spoilt(shape=[2**62, 50, 60]), "TOO_MANY_WINDOWS", "inputs[0].shape"),
    "no axis of windows": (spoilt(shape=[50, 60]), "INVALID_SHAPE", "inputs[0].shape"),
    "another window": (spoilt(shape=[1, 50, 59]), "INVALID_SHAPE", "inputs[0].shape"),
    "an axis too many": (spoilt(shape=[1, 50, 60, 1]), "INVALID_SHAPE", "inputs[0].shape"),
    "bytes missing": (spoilt(raw=[b"\0" * 11_996]), "INVALID_SHAPE", "raw_input_contents[0]"),
    "bytes too many": (spoilt(raw=[b"\0" * 12_001]), "INVALID_SHAPE", "raw_input_contents[0]"),
    "empty bytes": (spoilt(raw=[b""]), "INVALID_SHAPE", "raw_input_contents[0]"),
    "two raw contents": (spoilt(raw=[b"", b""]), "INVALID_TENSOR", "raw_input_contents"),
    "no contents": (spoilt(raw=[]), "MISSING_INPUT", "inputs[0].contents"),
    "both forms": (in_both_forms(), "INVALID_TENSOR", "raw_input_contents"),
    "other numbers": (of_other_numbers(), "INVALID_TENSOR", "inputs[0].contents.int_contents"),
    "numbers missing": (
        oip.infer(oip.made_windows()[:, :, :59], typed=True), "INVALID_SHAPE", "inputs[0].shape",
    ),
    "no number": (nan(4711), "NON_FINITE_VALUE", "raw_input_contents[0]"),
    "no number, typed": (nan(4711, typed=True), "NON_FINITE_VALUE", "inputs[0].contents.fp32_contents"),
    "another schema": (parameter("feature_schema", "x"), "FEATURE_SCHEMA_MISMATCH", "parameters.feature_schema"),
    "schema of another type": (parameter("feature_schema", 1), "MALFORMED_MESSAGE", "parameters.feature_schema"),
    "unknown output": (oip.infer(outputs=["nope"]), "INVALID_TENSOR", "outputs[0].name"),
    "output twice": (oip.infer(outputs=["features"] * 2), "INVALID_TENSOR", "outputs[1].name"),
    "priority": (parameter("priority", 4), "INVALID_PRIORITY", "parameters.priority"),
    "negative priority": (parameter("priority", -1), "INVALID_PRIORITY", "parameters.priority"),
    "priority in words": (parameter("priority", "1"), "INVALID_PRIORITY", "parameters.priority"),
    "negative timeout": (parameter("timeout", -1), "INVALID_TIMEOUT", "parameters.timeout"),
    "timeout of another type": (parameter("timeout", 0.5), "INVALID_TIMEOUT", "parameters.timeout"),
    "version in words": (oip.infer(model_version="latest"), "MALFORMED_MESSAGE", "model_version"),
    "version zero": (oip.infer(model_version="0"), "MALFORMED_MESSAGE", "model_version"),
    "endless version": (oip.infer(model_version="9" * 19), "MALFORMED_MESSAGE", "model_version"),
    "long id": (oip.infer(id="x" * 129), "LIMIT_EXCEEDED", "id"),
}  # fmt: skip

NOT_SUPPORTED = [
    *(parameter(name, 1) for name in ("sequence_id", "sequence_start", "sequence_end")),
    spoilt(detour="shared_memory_region"),
    *map(with_output_parameter, ("shared_memory_region", "classification")),
]
"""Requests whose answers would be taken for something else."""

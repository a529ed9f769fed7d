"""Requests of the Open Inference Protocol, good or to be spoilt, and their answers read back into arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from tests.support.registry import NAME, real_windows

_DTYPES: dict[str, Any] = {"FP32": "<f4", "BOOL": np.bool_}


def windows(*indices: int) -> NDArray[np.float32]:
    """Returns windows of the real bars, [n, 50, 60]."""
    return np.ascontiguousarray(real_windows()[list(indices)])


def made_windows(count: int = 1) -> NDArray[np.float32]:
    """Returns windows that need no file to be read, [count, 50, 60], each another one."""
    return np.linspace(-1, 1, count * 3000, dtype=np.float32).reshape(count, 50, 60)


def infer(values: NDArray[np.float32] | None = None, *, typed: bool = False, **fields: Any) -> Any:
    """Returns a valid ModelInferRequest in which the given fields are replaced; one made-up window unless given others.

    Args:
        values: The windows, [n, features, steps].
        typed: Sends them as numbers, not as bytes.
        **fields: Fields of the request; `outputs` as names, `parameters` as plain values.
    """
    values = made_windows() if values is None else values
    request = service_pb2.ModelInferRequest(model_name=NAME)
    given = request.inputs.add(name="window", datatype="FP32", shape=values.shape)
    if typed:
        given.contents.fp32_contents.extend(values.ravel().tolist())
    else:
        request.raw_input_contents.append(values.tobytes())
    for name in fields.pop("outputs", ()):
        request.outputs.add(name=name)
    for name, value in fields.pop("parameters", {}).items():
        set_parameter(request.parameters[name], value)
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def set_parameter(parameter: Any, value: bool | int | float | str) -> None:
    """Sets a parameter as `tritonclient` does."""
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    setattr(parameter, kinds[type(value)], value)


def outputs(response: Any) -> dict[str, NDArray[Any]]:
    """Returns the tensors of a ModelInferResponse by name, in its order."""
    assert len(response.outputs) == len(response.raw_output_contents)
    return {
        output.name: np.frombuffer(raw, dtype=_DTYPES[output.datatype]).reshape(output.shape)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def expected(predictions: Any) -> dict[str, NDArray[np.float32]]:
    """Returns what the protocol must answer where `Predict` has answered these predictions, but for the features."""

    def table(read: Any) -> NDArray[np.float32]:
        return np.array([read(prediction) for prediction in predictions], dtype=np.float32)

    return {
        "class_probabilities": table(lambda p: [c.probability for c in p.classes]),
        "regression_mean": table(lambda p: [r.mean for r in p.regressions]),
        "regression_standard_deviation": table(lambda p: [r.standard_deviation for r in p.regressions]),
        "ensemble_class_probabilities": table(lambda p: [c.probability for c in p.ensemble.classes]),
        "ensemble_regression_mean": table(lambda p: [r.mean for r in p.ensemble.regressions]),
        "ensemble_regression_standard_deviation": table(
            lambda p: [r.standard_deviation for r in p.ensemble.regressions]
        ),
        "ensemble_weights": table(lambda p: p.ensemble.weights),
        "out_of_distribution": np.array([[p.input.out_of_distribution] for p in predictions]),
    }

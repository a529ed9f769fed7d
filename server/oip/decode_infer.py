"""`ModelInferRequest` to domain values, with every check that a field's meaning needs.

Owns what of the protocol is understood; a bad field is refused with its path and the remedy. Knows nothing of RPCs or
queues; `encode_infer` is its counterpart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from batching import PriorityClass
from model.model_config import ModelConfig
from server.oip.infer_parameters import Parameters
from server.oip.tensors import INPUT, Tensor, input_of, is_default, outputs_of
from server.refusal import Reason, Refusal
from server.rpc.decode import check_finite, check_length, check_schema
from server.time_slice import TimeSlice

FloatArray = npt.NDArray[np.float32]

_MAX_ID = 128
# Longer ones are no version of ours, and no number that the registry could be asked for.
_MAX_VERSION_DIGITS = 18
_SHARED_MEMORY = "shared_memory_"
_CONTENTS = "fp32_contents"
_AXES = 3  # windows, features, steps


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InferOrder:
    """What a request asks for, as far as that can be told without its model.

    Attributes:
        request_id: Echoed.
        model_name: Empty for the default.
        version: 0 for the one that serves.
        count: Windows in it, at least 1.
        outputs: Names of the outputs asked for, in their order; empty for the default.
        priority: Class.
        timeout: Seconds > 0, or None.
        feature_schema: That the windows were made by; empty if not to be checked.
        bypass_cache: Whether each window is to be computed anew.
    """

    request_id: str
    model_name: str
    version: int
    count: int
    outputs: tuple[str, ...]
    priority: PriorityClass
    timeout: float | None
    feature_schema: str
    bypass_cache: bool


def read_order(request: service_pb2.ModelInferRequest) -> InferOrder:
    """Reads all of a request but its numbers.

    Raises:
        Refusal: MISSING_INPUT, INVALID_TENSOR, INVALID_SHAPE, INVALID_PRIORITY, INVALID_TIMEOUT, LIMIT_EXCEEDED,
            MALFORMED_MESSAGE or NOT_SUPPORTED, with the field.
    """
    if len(request.id) > _MAX_ID:
        raise Refusal(Reason.LIMIT_EXCEEDED, f"id is limited to {_MAX_ID} characters.", field="id")
    parameters = Parameters(request.parameters)
    for name in ("sequence_id", "sequence_start", "sequence_end"):
        if name in request.parameters:
            raise not_supported("Sequences", "every window is answered by itself", f"parameters.{name}")
    outputs = []
    for index, output in enumerate(request.outputs):
        _refuse_detours(output.parameters, f"outputs[{index}]")
        if output.name in outputs:
            raise Refusal(
                Reason.INVALID_TENSOR, "An output is asked for once.", field=f"outputs[{index}].name"
            )  # fmt: skip
        outputs.append(output.name)
    return InferOrder(
        request_id=request.id,
        model_name=request.model_name,
        version=read_version(request.model_version, field="model_version"),
        count=_read_count(request),
        outputs=tuple(outputs),
        priority=parameters.priority(),
        timeout=parameters.timeout(),
        feature_schema=parameters.get("feature_schema", "string_param", ""),
        bypass_cache=parameters.get("bypass_cache", "bool_param", False),
    )


def read_version(text: str, *, field: str) -> int:
    """Returns the number of a version, 0 where none is named.

    Raises:
        Refusal: MALFORMED_MESSAGE.
    """
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_VERSION_DIGITS or not int(text):
        raise Refusal(
            Reason.MALFORMED_MESSAGE, "Versions are whole numbers from 1; empty: the one that serves.", field=field
        )
    return int(text)


def choose_outputs(order: InferOrder, config: ModelConfig) -> list[Tensor]:
    """Returns the outputs that a request is answered with, in its order.

    Raises:
        Refusal: INVALID_TENSOR; the model has none of that name.
    """
    known = {output.name: output for output in outputs_of(config.network)}
    if not order.outputs:
        return [output for output in known.values() if is_default(output)]
    for index, name in enumerate(order.outputs):
        if name not in known:
            raise Refusal(
                Reason.INVALID_TENSOR,
                f"This model has no such output; it has {', '.join(known)}.",
                field=f"outputs[{index}].name",
                metadata={"have": name[:128]},
            )
    return [known[name] for name in order.outputs]


async def read_windows(
    request: service_pb2.ModelInferRequest, order: InferOrder, config: ModelConfig
) -> list[FloatArray]:
    """Returns the windows, each `[feature_count, time_steps]` float32; views of the message's bytes where raw.

    Gives way to other work between windows where they are numbers one by one.

    Raises:
        Refusal: FEATURE_SCHEMA_MISMATCH, INVALID_SHAPE or NON_FINITE_VALUE, with the field.
    """
    check_schema(order.feature_schema, config, field="parameters.feature_schema")
    expected = input_of(config.network)
    shape = tuple(request.inputs[0].shape)
    if shape[1:] != expected.shape:
        raise Refusal(
            Reason.INVALID_SHAPE,
            f"{INPUT} must have the shape {_shape_text(expected)} for this model, of n windows.",
            field="inputs[0].shape",
            metadata={"have": str(list(shape)), "need": _shape_text(expected)},
        )
    size = math.prod(expected.shape)
    if request.raw_input_contents:
        field = "raw_input_contents[0]"
        raw = request.raw_input_contents[0]  # once: each access makes another copy
        check_length(field, "bytes", len(raw), 4 * size * order.count)
        values = np.frombuffer(raw, dtype="<f4")
    else:
        field = f"inputs[0].contents.{_CONTENTS}"
        numbers = request.inputs[0].contents.fp32_contents
        check_length(field, "numbers", len(numbers), size * order.count)
        values = np.empty(size * order.count, dtype=np.float32)
        turns = TimeSlice()
        for start in range(0, len(values), size):
            values[start : start + size] = numbers[start : start + size]
            await turns.give_way()
    check_finite(values, field=field)
    return list(values.reshape(order.count, *expected.shape))


def not_supported(what: str, why: str, field: str = "") -> Refusal:
    """Returns the refusal of a part of the protocol that is not served.

    Args:
        what: Begins the sentence; plural.
        why: Or what there is instead.
        field: Path of the field that asks for it.
    """
    return Refusal(Reason.NOT_SUPPORTED, f"{what} are not supported: {why}.", field=field)


def _read_count(request: service_pb2.ModelInferRequest) -> int:
    """Returns the number of windows that the one input says it has."""
    if not request.inputs:
        raise Refusal(Reason.MISSING_INPUT, f"Set the input {INPUT}.", field="inputs")
    if len(request.inputs) > 1 or request.inputs[0].name != INPUT:
        raise Refusal(
            Reason.INVALID_TENSOR,
            f"The one input is {INPUT}; ModelMetadata tells its shape.",
            field="inputs[1]" if len(request.inputs) > 1 else "inputs[0].name",
        )
    given = request.inputs[0]
    _refuse_detours(given.parameters, "inputs[0]")
    if given.datatype != "FP32":
        raise Refusal(
            Reason.INVALID_TENSOR,
            f"{INPUT} must be FP32.",
            field="inputs[0].datatype",
            metadata={"have": given.datatype[:16]},
        )
    _check_contents(request)
    if len(given.shape) != _AXES:
        raise Refusal(
            Reason.INVALID_SHAPE,
            f"{INPUT} must have the shape [n, features, steps], also for a single window.",
            field="inputs[0].shape",
            metadata={"have": str(list(given.shape)[:8])},
        )
    if given.shape[0] < 1:
        raise Refusal(Reason.MISSING_INPUT, f"Send at least one {INPUT}.", field="inputs[0].shape")
    return int(given.shape[0])


def _check_contents(request: service_pb2.ModelInferRequest) -> None:
    """Lets the numbers pass that are in one place, as bytes or as float32."""
    typed = [field.name for field, _ in request.inputs[0].contents.ListFields()]
    if request.raw_input_contents:
        if typed or len(request.raw_input_contents) > 1:
            raise Refusal(
                Reason.INVALID_TENSOR,
                "Send raw_input_contents, one for each input, or contents; not both.",
                field="raw_input_contents",
            )
    elif typed not in ([], [_CONTENTS]):
        raise Refusal(Reason.INVALID_TENSOR, f"Set {_CONTENTS} alone.", field=f"inputs[0].contents.{typed[0]}")
    elif not typed:
        raise Refusal(Reason.MISSING_INPUT, f"Set raw_input_contents or {_CONTENTS}.", field="inputs[0].contents")


def _refuse_detours(parameters: Mapping[str, Any], field: str) -> None:
    """Refuses what would take a tensor's numbers from, or to, somewhere else: to ignore it would mislead."""
    for name in parameters:
        if name.startswith(_SHARED_MEMORY):
            raise not_supported("Shared memory regions", "send tensors in messages", f"{field}.parameters.{name}")
        if name == "classification":
            raise not_supported(
                "Classifications",
                "the labels of class_probabilities stand in ModelConfig, parameter class_labels",
                f"{field}.parameters.{name}",
            )


def _shape_text(tensor: Tensor) -> str:
    return f"[n, {', '.join(map(str, tensor.shape))}]"

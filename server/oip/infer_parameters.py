"""The parameters of a request of the Open Inference Protocol, by name and type. Unknown ones are nobody's concern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from batching import PriorityClass
from server.refusal import Reason, Refusal
from server.rpc.decode import read_priority

T = TypeVar("T")


class Parameters:
    """Reads parameters.

    Args:
        parameters: The message's `InferParameter`s by name.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    def get(self, name: str, kind: str, default: T) -> T:
        """Returns a parameter's value, or the default where it is not given.

        Args:
            name: The parameter's.
            kind: Of the protocol's types the one that it must have, as in `bool_param`.
            default: Of that type.

        Raises:
            Refusal: MALFORMED_MESSAGE; it is of another type.
        """
        if name not in self._parameters:
            return default
        parameter = self._parameters[name]
        if parameter.WhichOneof("parameter_choice") != kind:
            raise Refusal(Reason.MALFORMED_MESSAGE, f"{name} must be a {kind}.", field=f"parameters.{name}")
        value: T = getattr(parameter, kind)
        return value

    def priority(self) -> PriorityClass:
        """Returns the class: Triton's numbers are ours, 1 the most urgent and 0 the default.

        Raises:
            Refusal: INVALID_PRIORITY.
        """
        number = self._whole_number("priority", Reason.INVALID_PRIORITY)
        try:
            return read_priority(number)
        except Refusal as refusal:
            raise refusal.within("parameters") from None

    def timeout(self) -> float | None:
        """Returns the seconds that the caller allows, > 0, or None; it sends microseconds, and 0 for none.

        Raises:
            Refusal: INVALID_TIMEOUT.
        """
        microseconds = self._whole_number("timeout", Reason.INVALID_TIMEOUT)
        if microseconds < 0:
            raise Refusal(
                Reason.INVALID_TIMEOUT,
                "timeout must be a number of microseconds greater than zero; 0, or none, for the default.",
                field="parameters.timeout",
                metadata={"microseconds": str(microseconds)},
            )
        return microseconds / 1e6 or None

    def _whole_number(self, name: str, reason: Reason) -> int:
        """Returns a whole number, signed or not: clients differ; 0 where it is not given.

        Raises:
            Refusal: `reason`; it is no number.
        """
        if name not in self._parameters:
            return 0
        parameter = self._parameters[name]
        kind = parameter.WhichOneof("parameter_choice")
        if kind not in ("int64_param", "uint64_param"):
            raise Refusal(reason, f"{name} must be an int64_param or a uint64_param.", field=f"parameters.{name}")
        return int(getattr(parameter, kind))

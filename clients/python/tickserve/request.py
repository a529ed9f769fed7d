"""Builds requests: turns what Python users write into the contract's messages, for the sync and the async client alike.

Owns the defaults and the rule of deadlines. It must not know channels, so that it can be tested without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

from google.protobuf import duration_pb2

from tickserve.prediction import ModelVersion
from tickserve.priority import Priority, PriorityLike
from tickserve.v1 import prediction_pb2, prediction_service_pb2, priority_pb2
from tickserve.window import Window, WindowLike
from tickserve.wire import to_duration

__all__ = ("BatchItem", "Call", "CallOptions", "Metadata", "ModelLike", "RequestBuilder", "StreamItem")

ModelLike = str | tuple[str, int] | ModelVersion | None
"""A model: its name (latest version), `"name:3"`, `("name", 3)`, a `ModelVersion`; None: the service's default."""

Metadata = tuple[tuple[str, str], ...]

REPLY_GRACE = 0.040
"""Seconds that the RPC's deadline lies behind the request's `timeout`.

With one and the same instant, gRPC would cut the call with a bare DEADLINE_EXCEEDED before the service's typed refusal
(EXPIRED_IN_QUEUE, with its reason) could travel back. It also bounds how late a silent service can make the caller.
"""

_LEAST_TIMEOUT = 0.0001
_MAX_RPC_TIMEOUT = 86_400.0  # gRPC writes longer deadlines badly; the service caps the timeout far below anyway
_ROUTING_KEY = "x-tickserve-routing-key"

M = TypeVar("M", bound=Any)


class CallOptions(TypedDict, total=False):
    """What every prediction method takes by keyword, each optional."""

    model: ModelLike
    """Which model answers. Default: the service's default model, latest version."""
    priority: PriorityLike
    """`"real_time"`, `"standard"` or `"background"`. Default: standard."""
    timeout: float | None
    """Seconds allowed from the service's receipt, > 0. None: the client's `default_timeout`; `math.inf`: no deadline
    of the caller's, so that the service's default for the class applies."""
    return_uncertainty: bool
    """Whether regressions carry their standard deviation. Default: true."""
    use_ensemble: bool
    """Whether the answer carries the ensemble's combination. Default: true."""
    return_features: bool
    """Whether the answer carries the fused features. Default: false."""
    bypass_cache: bool
    """Whether to compute even where a cached answer exists. Default: false."""
    max_age: float | None
    """How old a symbol's window may be, by its newest bar, in seconds, > 0. Default: any age."""
    routing_key: str | None
    """What the service routes and owns by, in place of the caller's identity and the symbol."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item of `predict_batch`: a window, or a symbol whose window the service keeps."""

    window: WindowLike | None = None
    symbol: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One item of `stream_predict`; None in `model`, `priority`, `timeout` and `max_age` stands for the stream's value.

    `request_id` is at most 128 characters and unique among the items in flight.
    """

    request_id: str
    window: WindowLike | None = None
    symbol: str | None = None
    model: ModelLike = None
    priority: PriorityLike = None
    timeout: float | None = None
    max_age: float | None = None


class Call(NamedTuple, Generic[M]):
    """A request with what gRPC needs to know beside it."""

    message: M
    timeout: float | None
    """The RPC's deadline in seconds from now; None: none."""
    metadata: Metadata

    def after(self, elapsed: float) -> Call[M]:
        """Gives the same call to be sent some seconds later, with what is left of its time."""
        if self.timeout is None:
            return self
        message = type(self.message)()
        message.CopyFrom(self.message)  # the first copy may still have to be written
        # Never zero or less: that would be refused for what it says, and it is late that it would be.
        left = max(_LEAST_TIMEOUT, self.timeout - REPLY_GRACE - elapsed)
        message.timeout.CopyFrom(to_duration(left))
        return Call(message, left + REPLY_GRACE, self.metadata)


def is_real_time(message: object) -> bool:
    """Tells whether a request is of the most urgent class."""
    return getattr(message, "priority", None) == priority_pb2.PRIORITY_REAL_TIME


class RequestBuilder:
    """Builds the requests of one client."""

    def __init__(self, *, default_timeout: float | None, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._default_timeout = default_timeout
        self._metadata: Metadata = tuple(metadata)

    def metadata(self, routing_key: str | None = None) -> Metadata:
        """Gives the metadata of a call."""
        return self._metadata if routing_key is None else (*self._metadata, (_ROUTING_KEY, routing_key))

    def predict(
        self, window: WindowLike | None, symbol: str | None, request_id: str, options: CallOptions
    ) -> Call[prediction_service_pb2.PredictRequest]:
        """Builds one request.

        Raises:
            ValueError: Both or neither of window and symbol are given, or a value has no place in the contract.
        """
        common = _Common.of(self._default_timeout, **options)
        message = prediction_service_pb2.PredictRequest(
            request_id=request_id, **_input(window, symbol), **common.fields()
        )
        return Call(message, common.rpc_timeout, self.metadata(common.routing_key))

    def batch(
        self, items: Iterable[BatchItem | WindowLike], options: CallOptions
    ) -> Call[prediction_service_pb2.PredictBatchRequest]:
        """Builds the request for several items.

        Raises:
            ValueError: As in `predict`.
        """
        common = _Common.of(self._default_timeout, **options)
        messages = []
        for item in items:
            entry = item if isinstance(item, BatchItem) else BatchItem(item)
            messages.append(
                prediction_service_pb2.PredictBatchItem(
                    request_id=entry.request_id, **_input(entry.window, entry.symbol)
                )
            )
        message = prediction_service_pb2.PredictBatchRequest(items=messages, **common.fields())
        return Call(message, common.rpc_timeout, self.metadata(common.routing_key))

    def stream_item(self, item: StreamItem, options: CallOptions) -> prediction_service_pb2.StreamPredictRequest:
        """Builds one message of a stream, whose `options` hold where the item says nothing.

        Raises:
            ValueError: As in `predict`.
        """
        own: CallOptions = {**options}
        if item.model is not None:
            own["model"] = item.model
        if item.priority is not None:
            own["priority"] = item.priority
        if item.timeout is not None:
            own["timeout"] = item.timeout
        if item.max_age is not None:
            own["max_age"] = item.max_age
        common = _Common.of(self._default_timeout, **own)
        return prediction_service_pb2.StreamPredictRequest(
            request_id=item.request_id, **_input(item.window, item.symbol), **common.fields()
        )

    def rpc_timeout(self, timeout: float | None) -> float | None:
        """Gives the deadline of a call that carries no `timeout` of its own, in seconds."""
        chosen = self._default_timeout if timeout is None else timeout
        return None if chosen is None or math.isinf(chosen) else chosen


@dataclass(frozen=True, slots=True)
class _Common:
    """The fields that every kind of prediction request has, with the same names."""

    model: prediction_pb2.ModelReference | None
    priority: priority_pb2.Priority.ValueType
    timeout: duration_pb2.Duration | None
    rpc_timeout: float | None
    options: prediction_pb2.PredictOptions
    max_age: duration_pb2.Duration | None
    routing_key: str | None

    @classmethod
    def of(
        cls,
        default_timeout: float | None,
        *,
        model: ModelLike = None,
        priority: PriorityLike = None,
        timeout: float | None = None,
        return_uncertainty: bool | None = None,
        use_ensemble: bool | None = None,
        return_features: bool = False,
        bypass_cache: bool = False,
        max_age: float | None = None,
        routing_key: str | None = None,
    ) -> _Common:
        """Reads `CallOptions`; an unknown one is a TypeError here, as it would be in any signature."""
        seconds = default_timeout if timeout is None else timeout
        if seconds is not None and math.isinf(seconds):
            seconds = None
        return cls(
            model=model_reference(model),
            priority=Priority.parse(priority).to_proto(),
            timeout=None if seconds is None else to_duration(seconds),
            # A timeout of zero or less is sent all the same: it is the service that says INVALID_TIMEOUT.
            rpc_timeout=None if seconds is None else min(max(seconds, 0.0), _MAX_RPC_TIMEOUT) + REPLY_GRACE,
            options=prediction_pb2.PredictOptions(
                return_uncertainty=return_uncertainty,
                use_ensemble=use_ensemble,
                return_features=return_features,
                bypass_cache=bypass_cache,
            ),
            max_age=None if max_age is None else to_duration(max_age),
            routing_key=routing_key,
        )

    def fields(self) -> dict[str, Any]:
        """Gives them as keyword arguments of a message."""
        return {
            "model": self.model,
            "priority": self.priority,
            "timeout": self.timeout,
            "options": self.options,
            "max_age": self.max_age,
        }


def model_reference(model: ModelLike) -> prediction_pb2.ModelReference | None:
    """Reads what users write for a model.

    Raises:
        ValueError: The part behind the colon is neither a number nor `latest`.
    """
    if model is None:
        return None
    if isinstance(model, ModelVersion):
        return prediction_pb2.ModelReference(name=model.name, version=model.version)
    if isinstance(model, tuple):
        name, version = model
        return prediction_pb2.ModelReference(name=name, version=version)
    name, colon, suffix = model.partition(":")
    if not colon or suffix == "latest":
        return prediction_pb2.ModelReference(name=name)
    if not suffix.isdecimal():
        raise ValueError(f"a model is written NAME, NAME:VERSION or NAME:latest, not {model!r}")
    return prediction_pb2.ModelReference(name=name, version=int(suffix))


def _input(window: WindowLike | None, symbol: str | None) -> dict[str, Any]:
    if (window is None) == (symbol is None):
        raise ValueError("give either a window or a symbol")
    return {"symbol": symbol} if window is None else {"window": Window.of(window).to_proto()}

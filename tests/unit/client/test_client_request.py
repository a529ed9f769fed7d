"""What Python users write becomes the contract's fields; deadlines leave room for the service's own refusal."""

import math
from typing import Any

import numpy as np
import pytest

from tickserve import BatchItem, ModelVersion, Priority, StreamItem
from tickserve.request import REPLY_GRACE, RequestBuilder, model_reference
from tickserve.wire import from_duration, to_duration

WINDOW = np.zeros((2, 3), dtype=np.float32)


def builder(default_timeout: float | None = None) -> RequestBuilder:
    """Returns a builder with metadata of its own."""
    return RequestBuilder(default_timeout=default_timeout, metadata=(("k", "v"),))


@pytest.mark.parametrize(
    ("model", "name", "version"),
    [
        ("eurusd", "eurusd", 0),
        ("eurusd:3", "eurusd", 3),
        ("eurusd:latest", "eurusd", 0),
        (("eurusd", 3), "eurusd", 3),
        (ModelVersion("eurusd", 3, "ab"), "eurusd", 3),
    ],
)
def test_a_model_can_be_written_in_each_way(model: Any, name: str, version: int) -> None:
    """All ways to name a version mean the same."""
    reference = model_reference(model)
    assert reference is not None
    assert (reference.name, reference.version) == (name, version)


@pytest.mark.parametrize("model", ["eurusd:", "eurusd:x", "eurusd:-1"])
def test_a_model_without_a_sensible_version_is_refused(model: str) -> None:
    """A typing error in the version must not silently mean another model."""
    with pytest.raises(ValueError, match="NAME:VERSION"):
        model_reference(model)


@pytest.mark.parametrize("written", ["real_time", "REAL-TIME", " real_time ", Priority.REAL_TIME])
def test_a_priority_can_be_written_in_each_way(written: Any) -> None:
    """Names in any case and the enum mean the same."""
    assert builder().predict(WINDOW, None, "", {"priority": written}).message.priority == 1


def test_a_wrong_priority_is_refused_with_the_choices() -> None:
    """The caller is told what there is."""
    with pytest.raises(ValueError, match="real_time, standard, background"):
        builder().predict(WINDOW, None, "", {"priority": "urgent"})


@pytest.mark.parametrize("written", ["shadow", "SHADOW", Priority.SHADOW, 4])
def test_no_request_can_be_sent_as_a_shadow(written: Any) -> None:
    """The class is the service's own: statistics name it, and whoever asks for it hears what there is."""
    with pytest.raises(ValueError, match=r"no priority .* to send; there are: real_time, standard, background$"):
        builder().predict(WINDOW, None, "", {"priority": written})
    assert Priority.from_proto(4) is Priority.SHADOW


def test_what_is_not_given_is_not_sent() -> None:
    """An empty call leaves every choice to the service."""
    call = builder().predict(None, "EURUSD", "", {})
    message = call.message
    assert not any(message.HasField(name) for name in ("model", "timeout", "max_age"))
    assert not message.options.HasField("return_uncertainty")
    assert not message.options.HasField("use_ensemble")
    assert (call.timeout, call.metadata) == (None, (("k", "v"),))


def test_every_option_arrives() -> None:
    """Each keyword sets its field and no other."""
    call = builder().predict(
        None,
        "EURUSD",
        "id",
        {
            "model": "m:2",
            "priority": "background",
            "timeout": 0.25,
            "return_uncertainty": False,
            "use_ensemble": False,
            "return_features": True,
            "bypass_cache": True,
            "max_age": 1.5,
            "routing_key": "route",
        },
    )
    message = call.message
    options = message.options
    assert (message.symbol, message.request_id, message.model.version, message.priority) == ("EURUSD", "id", 2, 3)
    assert (options.HasField("return_uncertainty"), options.return_uncertainty) == (True, False)
    assert (options.HasField("use_ensemble"), options.use_ensemble) == (True, False)
    assert (options.return_features, options.bypass_cache) == (True, True)
    assert (from_duration(message.timeout), from_duration(message.max_age)) == (0.25, 1.5)
    assert call.metadata == (("k", "v"), ("x-tickserve-routing-key", "route"))


def test_the_rpc_outlives_the_request_by_the_grace() -> None:
    """The service's typed refusal at the deadline has time to arrive."""
    assert builder().predict(WINDOW, None, "", {"timeout": 0.25}).timeout == 0.25 + REPLY_GRACE


@pytest.mark.parametrize(("timeout", "expected"), [(None, 2.0), (0.5, 0.5), (math.inf, None)])
def test_a_call_without_a_timeout_gets_the_clients(timeout: float | None, expected: float | None) -> None:
    """None means the client's default; infinity means none at all."""
    call = builder(2.0).predict(WINDOW, None, "", {"timeout": timeout})
    assert call.timeout == (None if expected is None else expected + REPLY_GRACE)
    assert call.message.HasField("timeout") == (expected is not None)


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_timeout_that_has_run_out_is_still_sent(timeout: float) -> None:
    """It is the service that says INVALID_TIMEOUT, and it gets the time to say so."""
    call = builder().predict(WINDOW, None, "", {"timeout": timeout})
    assert call.message.HasField("timeout")
    assert from_duration(call.message.timeout) == timeout
    assert call.timeout == REPLY_GRACE


def test_an_absurd_timeout_does_not_overflow_grpc() -> None:
    """The RPC's deadline is capped; the request says what the caller said."""
    call = builder().predict(WINDOW, None, "", {"timeout": 1e11})
    assert call.message.timeout.seconds == 10**11
    assert call.timeout is not None
    assert call.timeout < 1e6


def test_a_timeout_that_is_no_number_is_refused() -> None:
    """NaN has no place on the wire."""
    with pytest.raises(ValueError, match=r"NaN|integer"):
        builder().predict(WINDOW, None, "", {"timeout": math.nan})


@pytest.mark.parametrize(("window", "symbol"), [(None, None), (WINDOW, "EURUSD")])
def test_exactly_one_input_is_wanted(window: Any, symbol: str | None) -> None:
    """Both or none is the caller's mistake."""
    with pytest.raises(ValueError, match="either a window or a symbol"):
        builder().predict(window, symbol, "", {})


def test_a_mistyped_option_is_a_type_error() -> None:
    """Options are checked like the arguments of any function."""
    with pytest.raises(TypeError, match="timout"):
        builder().predict(WINDOW, None, "", {"timout": 1.0})  # type: ignore[typeddict-unknown-key]


def test_a_batch_takes_windows_and_items() -> None:
    """Plain windows and items with ids mix, and keep their order."""
    message = builder().batch([WINDOW, BatchItem(symbol="EURUSD", request_id="b")], {"timeout": 1.0}).message
    assert [item.WhichOneof("input") for item in message.items] == ["window", "symbol"]
    assert [item.request_id for item in message.items] == ["", "b"]
    assert message.timeout.seconds == 1


def test_an_items_own_choice_beats_the_streams() -> None:
    """Each item may differ; what it leaves open is the stream's."""
    item = StreamItem("1", WINDOW, model="own:2", priority="real_time", timeout=0.5, max_age=3.0)
    message = builder().stream_item(item, {"model": "all", "timeout": 9.0, "bypass_cache": True})
    assert (message.model.name, message.model.version, message.priority) == ("own", 2, 1)
    assert (from_duration(message.timeout), from_duration(message.max_age)) == (0.5, 3.0)
    assert message.options.bypass_cache
    plain = builder().stream_item(StreamItem("2", WINDOW), {"model": "all", "timeout": 9.0})
    assert (plain.model.name, from_duration(plain.timeout)) == ("all", 9.0)


@pytest.mark.parametrize("seconds", [0.0, 1.25, -0.003, -1.5, 0.9999999999, 1e9])
def test_spans_survive_the_wire(seconds: float) -> None:
    """A span comes back to the nanosecond, and both of its parts have one sign."""
    message = to_duration(seconds)
    assert from_duration(message) == pytest.approx(seconds, abs=1e-9)
    assert message.seconds * message.nanos >= 0
    assert abs(message.nanos) < 10**9

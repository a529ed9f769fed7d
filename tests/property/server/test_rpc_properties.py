"""Properties of the RPCs under any bytes: an answer or a typed error, never an exception, and neighbours unharmed."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.refusal import Reason
from server.rpc.ingress import METHODS, STREAMED_METHODS
from tests.support import messages as m
from tests.support.local import LocalService, local_service
from tests.support.raw_client import Refused, read_status
from tests.support.registry import make_registry
from tests.support.service import settings_for
from tickserve.v1.model_service_pb2 import GetStatisticsResponse
from tickserve.v1.prediction_service_pb2 import (
    PredictRequest,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksResponse,
)
from tickserve.v1.window_pb2 import FloatValues

REASONS = {reason.name for reason in Reason} - {Reason.INFERENCE_FAILED.name}
BYTES = st.binary(max_size=200)
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A replica with a fake engine."""
    with local_service(settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))) as running:
        yield running
        assert not running.errors


def is_typed(refused: Refused) -> bool:
    """Tells whether an error is one of the contract's, and no fault of ours."""
    return refused.domain == "tickserve" and refused.reason in REASONS


@st.composite
def near_misses(draw: st.DrawFn, valid: bytes) -> bytes:
    """Valid messages with some bytes replaced, removed or added."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        # Most bytes are a window's values; the structure lies at both ends.
        edge = min(40, len(data))
        at = draw(st.integers(-edge, edge))
        match draw(st.sampled_from(("replace", "remove", "insert"))):
            case "replace":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "remove":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - STREAMED_METHODS))
@given(data=BYTES)
@QUICK
def test_any_bytes_end_a_unary_call_well(service: LocalService, method: str, data: bytes) -> None:
    """In a response or in a typed error."""
    outcome = service.unary(method, data)
    assert not isinstance(outcome, Refused) or is_typed(outcome)
    assert not service.errors


@given(data=near_misses(m.predict().SerializeToString()))
@QUICK
def test_a_damaged_request_ends_well(service: LocalService, data: bytes) -> None:
    """So does one that is almost right; an answer then belongs to the request as it was read."""
    outcome = service.unary("Predict", data)
    if isinstance(outcome, PredictResponse):
        request = PredictRequest.FromString(data)
        assert outcome.request_id == request.request_id
        assert len(outcome.prediction.classes) == 3
    else:
        assert isinstance(outcome, Refused)
        assert is_typed(outcome)


@given(garbage=st.lists(st.one_of(BYTES, near_misses(m.item("x").SerializeToString())), max_size=6), data=st.data())
@QUICK
def test_a_prediction_stream_survives_garbage(service: LocalService, garbage: list[bytes], data: st.DataObject) -> None:
    """Whatever stands between good items, each of those is answered once, and each bad one is told or answered."""
    good = [m.item(f"good-{number}").SerializeToString() for number in range(4)]
    mixed = data.draw(st.permutations([*good, *garbage]))
    responses, refused = service.stream("StreamPredict", mixed)
    assert refused is None
    assert len(responses) == len(mixed)
    answered = []
    for response in responses:
        assert isinstance(response, StreamPredictResponse)
        if response.HasField("error"):
            assert is_typed(read_status(response.error))
        else:
            answered.append(response.request_id)
    assert sorted(name for name in answered if name.startswith("good-")) == [f"good-{n}" for n in range(4)]
    assert service.pending() == 0


@given(
    garbage=st.lists(
        st.one_of(
            BYTES,
            near_misses(m.opening("A", "B").SerializeToString()),
            near_misses(m.tick("A", 1).SerializeToString()),
            near_misses(m.history("A", [m.bar(1), m.bar(2)], 2).SerializeToString()),
        ),
        max_size=8,
    ),
    opened=st.booleans(),
)
@QUICK
def test_a_tick_stream_survives_garbage(service: LocalService, garbage: list[bytes], opened: bool) -> None:
    """Open or not, after any messages at all a heartbeat is answered, and every error is typed."""
    start = [m.opening("A").SerializeToString()] if opened else []
    responses, refused = service.stream("StreamTicks", [*start, *garbage, m.heartbeat().SerializeToString()])
    assert refused is None
    kinds = []
    for response in responses:
        assert isinstance(response, StreamTicksResponse)
        kinds.append(response.WhichOneof("message"))
        if response.HasField("error"):
            assert is_typed(read_status(response.error.error))
    assert kinds[-1] == "heartbeat"
    assert service.pending() == 0
    statistics = service.unary("GetStatistics", b"")
    assert isinstance(statistics, GetStatisticsResponse)
    assert statistics.replicas[0].open_stream_count == 0


# Changes to a valid request: fields, and the reason that each must be refused for; none if it is still valid.
CHANGES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"priority": 1}, ""),
    ({"priority": 3}, ""),
    ({"priority": 77}, "INVALID_PRIORITY"),
    ({"timeout": m.duration(60)}, ""),
    ({"timeout": m.duration(315_576_000_000)}, ""),
    ({"timeout": m.duration(-60)}, "INVALID_TIMEOUT"),
    ({"max_age": m.duration(1)}, ""),
    ({"max_age": m.duration(0, -1)}, "INVALID_TIMEOUT"),
    ({"model": m.model("cnn_lstm", 1)}, ""),
    ({"model": m.model("cnn_lstm", 7)}, "MODEL_NOT_FOUND"),
    ({"request_id": ""}, ""),
    ({"request_id": "x" * 129}, "LIMIT_EXCEEDED"),
    ({"window": m.window(schema="")}, ""),
    ({"window": m.window(schema="other")}, "FEATURE_SCHEMA_MISMATCH"),
    ({"window": m.spoilt_window(raw_float32=None, values=FloatValues(values=[0.5] * 3000))}, ""),
    ({"window": m.spoilt_window(time_steps=7)}, "INVALID_SHAPE"),
    ({"window": m.spoilt_window(raw_float32=m.floats(at=5, value=float("nan")))}, "NON_FINITE_VALUE"),
)


@given(chosen=st.lists(st.sampled_from(range(len(CHANGES))), max_size=5, unique=True))
@QUICK
def test_a_request_is_refused_for_what_is_wrong_with_it(service: LocalService, chosen: list[int]) -> None:
    """A request made of valid and invalid parts is answered if all are valid, else refused for one of the others."""
    fields: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for index in chosen:
        change, reason = CHANGES[index]
        fields |= change
        wrong |= dict.fromkeys(change, reason)
    outcome = service.unary("Predict", m.predict(**fields).SerializeToString())
    reasons = {reason for reason in wrong.values() if reason}
    if isinstance(outcome, Refused):
        assert outcome.reason in reasons
    else:
        assert not reasons


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True), min_size=1, max_size=20
    )
)
@QUICK
def test_both_forms_of_a_window_are_the_same_input(service: LocalService, values: list[float]) -> None:
    """Bytes and numbers have the same hash and the same answer, to the last bit of every finite value."""
    padded = [*values, *[0.0] * (3000 - len(values))]
    raw = m.predict(window=m.spoilt_window(raw_float32=struct.pack("<3000f", *padded)))
    typed = m.predict(window=m.spoilt_window(raw_float32=None, values=FloatValues(values=padded)))
    first, second = (service.unary("Predict", request.SerializeToString()) for request in (raw, typed))
    assert isinstance(first, PredictResponse)
    assert isinstance(second, PredictResponse)
    assert first.prediction.input == second.prediction.input
    assert first.prediction.classes == second.prediction.classes

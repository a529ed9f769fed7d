"""The Open Inference Protocol takes any bytes and any windows: an answer that is right, or a typed error."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from server.refusal import Reason
from tests.support import oip
from tests.support.local import LocalService, local_service
from tests.support.raw_client import Refused
from tests.support.registry import make_registry
from tests.support.service import settings_for

REASONS = {reason.name for reason in Reason} - {Reason.INFERENCE_FAILED.name}
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALID = oip.infer(oip.made_windows(2), id="valid", outputs=["class_probabilities"], parameters={"priority": 1})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A replica with a fake engine."""
    with local_service(settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))) as running:
        yield running
        assert not running.errors


# Where, how many bytes are taken away, and what is put there. The structure lies before the windows' values; no damage
# at all leaves a valid request. Drawn as such, for a request's bytes would fill a page.
Damage = list[tuple[int, int, bytes]]
DAMAGE = st.lists(st.tuples(st.integers(0, 160), st.integers(0, 3), st.binary(max_size=3)), max_size=4)


def damaged(damage: Damage) -> bytes:
    """Returns the valid request with some bytes of its structure replaced, removed or added."""
    data = bytearray(VALID.SerializeToString(deterministic=True))
    for at, length, put in damage:
        data[at : at + length] = put
    return bytes(data)


def is_idle(service: LocalService) -> bool:
    """Tells whether nothing waits or runs that nobody is told of."""
    scheduler = service.replica.snapshot().scheduler
    return not scheduler.in_flight and not any(scheduler.queue_size.values())


@given(damage=DAMAGE)
@QUICK
def test_a_damaged_request_ends_well(service: LocalService, damage: Damage) -> None:
    """In an answer of the shapes that it tells, or in a typed error; nothing is left over."""
    data = damaged(damage)
    outcome: Any = service.unary("ModelInfer", data)
    if isinstance(outcome, Refused):
        assert outcome.domain == "tickserve"
        assert outcome.reason in REASONS
    else:
        assert outcome.id == service_pb2.ModelInferRequest.FromString(data).id
        assert oip.outputs(outcome)
    assert is_idle(service)


@given(requests=st.lists(st.one_of(DAMAGE, st.binary(max_size=60), st.just([])), max_size=6))
@QUICK
def test_a_stream_answers_each_request_in_its_place(service: LocalService, requests: list[bytes | Damage]) -> None:
    """Whatever it is sent: as many answers as requests, the good ones answered where they stood."""
    sent = [request if isinstance(request, bytes) else damaged(request) for request in requests]
    responses, ended = service.stream("ModelStreamInfer", sent)
    assert ended is None
    assert len(responses) == len(requests)
    for request, response in zip(requests, responses, strict=True):
        told: Any = response
        assert bool(told.error_message) is (len(told.infer_response.outputs) == 0)
        if request == []:
            assert (told.infer_response.id, told.error_message) == ("valid", "")
    assert is_idle(service)


@given(firsts=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), typed=st.booleans())
@QUICK
def test_each_window_gets_its_own_answer(service: LocalService, firsts: list[float], typed: bool) -> None:
    """The fake engine's answer follows from a window's first value alone: row `i` is window `i`'s."""
    values = np.zeros((len(firsts), 50, 60), np.float32)
    values[:, 0, 0] = firsts
    response: Any = service.unary("ModelInfer", oip.infer(values, typed=typed).SerializeToString())
    assert not isinstance(response, Refused), response
    buy = oip.outputs(response)["class_probabilities"][:, 2]
    np.testing.assert_array_equal(buy, 0.2 + 0.1 * np.tanh(values[:, 0, 0]))

"""When calls are tried again and sent twice; every law holds for `Client` and `AsyncClient` alike."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.client.conftest import Ask
from tests.unit.client.fake_service import FakeService, rich_status
from tickserve import (
    AsyncClient,
    Client,
    DeadlineError,
    HedgePolicy,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RetryPolicy,
    TransportError,
    UnavailableError,
)
from tickserve.errors import TickserveError
from tickserve.retry import Retries
from tickserve.v1 import prediction_service_pb2, prediction_service_pb2_grpc

WINDOW = np.zeros((2, 3), dtype=np.float32)
CODE = grpc.StatusCode
LATE = rich_status(CODE.RESOURCE_EXHAUSTED, "PREDICTED_DEADLINE_MISS", retry_delay=30.0)
FULL = rich_status(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay=30.0)
DRAINING = rich_status(CODE.UNAVAILABLE, "DRAINING", retry_delay=30.0)
SERVICE_CONFIG = Path(__file__).parents[3] / "clients" / "service_config.json"


@pytest.mark.parametrize("outcome", [CODE.UNAVAILABLE, CODE.UNKNOWN, CODE.NOT_FOUND, LATE, FULL, DRAINING])
async def test_what_another_replica_may_answer_is_asked_again(ask: Ask, service: FakeService, outcome: Any) -> None:
    """A replica that is gone, a proxy's own error, and one replica's refusal are not the caller's last word."""
    service.outcomes = [outcome]
    answer = await ask("predict", WINDOW, request_id="r1", timeout=5.0)
    assert answer.label == "buy"
    first, second = service.received
    assert first.request_id == second.request_id == "r1"
    assert second.timeout.ToSeconds() < 5 <= first.timeout.ToSeconds(), "what is left of the time, and no more"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (rich_status(CODE.INVALID_ARGUMENT, "INVALID_SHAPE"), InvalidRequestError),
        (rich_status(CODE.NOT_FOUND, "MODEL_NOT_FOUND"), NotFoundError),
        (rich_status(CODE.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_delay=0.001), OverloadedError),
        (rich_status(CODE.RESOURCE_EXHAUSTED, "DISPLACED", retry_delay=0.001), OverloadedError),
        (rich_status(CODE.DEADLINE_EXCEEDED, "EXPIRED_IN_QUEUE"), DeadlineError),
        (CODE.RESOURCE_EXHAUSTED, TransportError),
        (CODE.INTERNAL, TransportError),
    ],
)
async def test_what_cannot_help_is_not_asked_again(
    ask: Ask, service: FakeService, outcome: Any, error: type[TickserveError]
) -> None:
    """What the caller did wrong stays wrong, and what is over is over."""
    service.outcomes = [outcome]
    with pytest.raises(error):
        await ask("predict", WINDOW)
    assert len(service.received) == 1


async def test_two_replicas_that_refuse_are_believed(ask: Ask, service: FakeService) -> None:
    """A refusal for load is taken elsewhere once: a service that is full is not asked a third time."""
    service.outcomes = [LATE, FULL, None]
    with pytest.raises(OverloadedError, match="QUEUE_FULL"):
        await ask("predict", WINDOW, timeout=5.0, client={"retry": RetryPolicy(max_attempts=5)})
    assert len(service.received) == 2


async def test_retries_can_be_switched_off(ask: Ask, service: FakeService) -> None:
    """Without a policy the first word is the last."""
    service.outcomes = [CODE.UNAVAILABLE]
    with pytest.raises(TransportError):
        await ask("predict", WINDOW, client={"retry": None})
    assert len(service.received) == 1


async def test_a_batch_is_tried_again_as_a_whole(ask: Ask, service: FakeService) -> None:
    """Only the call's own failure counts; items have results of their own."""
    service.outcomes = [CODE.UNAVAILABLE]
    [result] = await ask("predict_batch", [WINDOW])
    assert not isinstance(result, Exception)
    assert len(service.received) == 2


async def test_a_slow_call_is_sent_twice_and_the_loser_cancelled(ask: Ask, service: FakeService) -> None:
    """The second copy answers; the first, which would have hung, is cancelled at the service."""
    service.outcomes = ["silent"]
    answer = await ask("predict", WINDOW, priority="real_time", timeout=20.0, client={"hedge": HedgePolicy(delay=0.01)})
    assert answer.label == "buy"
    assert len(service.received) == 2
    assert await asyncio.to_thread(service.cancelled.wait, 10)


async def test_only_real_time_calls_are_sent_twice(ask: Ask, service: FakeService) -> None:
    """Others wait: twice the work would come at the cost of those that cannot."""
    service.outcomes = ["silent"]
    with pytest.raises(DeadlineError):
        await ask("predict", WINDOW, timeout=0.1, client={"hedge": HedgePolicy(delay=0.01), "retry": None})
    assert len(service.received) == 1


@pytest.mark.parametrize("outcomes", [["silent", CODE.INTERNAL], [CODE.INTERNAL]])
async def test_a_copy_that_fails_does_not_end_the_other(ask: Ask, service: FakeService, outcomes: list[Any]) -> None:
    """Where both fail, the first one's end is the call's."""
    service.outcomes = list(outcomes)
    expected = DeadlineError if outcomes[0] == "silent" else TransportError
    with pytest.raises(expected):
        await ask(
            "predict",
            WINDOW,
            priority="real_time",
            timeout=0.3,
            client={"hedge": HedgePolicy(delay=0.05), "retry": None},
        )


async def test_the_counters_tell_what_happened(service: FakeService) -> None:
    """Calls, retries, hedges and the hedges that won are told apart."""
    service.outcomes = [CODE.UNAVAILABLE, None, "silent", None]
    async with AsyncClient(service.target, hedge=HedgePolicy(delay=0.01)) as client:
        await client.predict(WINDOW)
        await client.predict(WINDOW, priority="real_time", timeout=20.0)
        told = client.retry_statistics
    assert (told.calls, told.retries, told.hedges, told.hedge_wins, told.refused_by_budget) == (2, 1, 1, 1, 0)


@given(
    st.lists(st.booleans(), min_size=1, max_size=300),
    st.floats(0, 1),
    st.floats(1, 20),
)
def test_retries_never_exceed_the_budget(failures: list[bool], ratio: float, burst: float) -> None:
    """However many calls fail, what is sent beside them is at most the burst and a share of the calls."""
    retries = Retries(RetryPolicy(budget_ratio=ratio, budget_burst=burst, max_attempts=9), chance=lambda: 0.0)
    for failed in failures:
        attempts = retries.begin(None)
        while failed and attempts.next_delay(TransportError("gone", code=CODE.UNAVAILABLE)) is not None:
            pass
    told = retries.statistics()
    assert told.retries <= burst + ratio * len(failures) + 1e-6
    assert told.calls == len(failures)


@given(
    st.floats(0.001, 10),
    st.lists(st.tuples(st.floats(0, 1), st.none() | st.floats(0, 5)), min_size=1, max_size=20),
)
def test_no_attempt_begins_at_or_after_the_deadline(timeout: float, failures: list[tuple[float, float | None]]) -> None:
    """A wait that would outlast the call is not begun."""
    now = 100.0
    policy = RetryPolicy(max_attempts=50, budget_burst=50)
    retries = Retries(policy, chance=lambda: 1.0, clock=lambda: now)
    attempts = retries.begin(timeout)
    for duration, told in failures:
        now += duration
        delay = attempts.next_delay(UnavailableError("away", reason="MODEL_LOADING", retry_delay=told))
        if delay is None:
            break
        now += delay
        assert now < 100.0 + timeout


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(initial_delay=0.0),
        lambda: RetryPolicy(max_delay=math.inf),
        lambda: RetryPolicy(budget_ratio=1.5),
        lambda: RetryPolicy(budget_burst=0.5),
        lambda: HedgePolicy(delay=0.0),
    ],
)
def test_a_policy_out_of_range_is_refused(make: Callable[[], object]) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=r"max_attempts|initial_delay|budget|delay"):
        make()


def test_a_closed_client_ends_its_hedged_call(service: FakeService) -> None:
    """Closing the channel under a call is an error of the transport's, whichever way the call was made."""
    service.silent = True
    client = Client(service.target, hedge=HedgePolicy(delay=30.0), retry=None)

    async def run() -> None:
        call = asyncio.create_task(asyncio.to_thread(client.predict, WINDOW, priority="real_time", timeout=20.0))
        assert await asyncio.to_thread(service.begun.wait, 10)
        await asyncio.to_thread(client.close)
        with pytest.raises(TransportError, match="CANCELLED"):
            await call

    asyncio.run(run())


def test_other_languages_retry_by_service_config(service: FakeService) -> None:
    """The service config that the documentation names is taken by gRPC, and does what it says."""
    config = SERVICE_CONFIG.read_text(encoding="utf-8")
    assert json.loads(config)["retryThrottling"]["tokenRatio"] <= 0.1
    service.outcomes = [CODE.UNAVAILABLE, CODE.UNKNOWN]
    with grpc.insecure_channel(service.target, [("grpc.service_config", config)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(prediction_service_pb2.PredictRequest(symbol="EURUSD"), timeout=10)
    assert response.prediction.input.symbol == "EURUSD"
    assert len(service.received) == 3

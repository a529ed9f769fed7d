"""Calls over a real socket; every law holds for `Client` and `AsyncClient` alike."""

import socket

import grpc
import numpy as np
import pytest

from tests.unit.client.conftest import Ask
from tests.unit.client.fake_service import FakeService, rich_status
from tests.unit.client.fake_statistics import replica
from tickserve import (
    AsyncClient,
    BatchCost,
    BatchItem,
    Client,
    DeadlineError,
    InvalidRequestError,
    ModelState,
    OverloadedError,
    Prediction,
    Priority,
    TransportError,
    Window,
)
from tickserve.request import REPLY_GRACE

WINDOW = np.arange(6, dtype=np.float32).reshape(2, 3)


async def test_a_window_is_answered(ask: Ask, service: FakeService) -> None:
    """The window arrives as it was, and its answer comes back."""
    answer = await ask("predict", Window.from_array(WINDOW, feature_schema="schema-1"), request_id="r1")
    assert isinstance(answer, Prediction)
    assert answer.label == "buy"
    request = service.received[0]
    assert (request.request_id, request.window.feature_schema) == ("r1", "schema-1")
    assert request.window.raw_float32 == WINDOW.tobytes()


async def test_a_symbol_is_answered(ask: Ask) -> None:
    """A symbol in place of a window is enough."""
    answer = await ask("predict", symbol="EURUSD", max_age=2.0)
    assert answer.input.symbol == "EURUSD"


async def test_both_deadlines_are_sent(ask: Ask, service: FakeService) -> None:
    """The request names the caller's timeout; the RPC lives a little longer."""
    await ask("predict", WINDOW, timeout=5.0)
    assert service.received[0].timeout.seconds == 5
    assert service.time_remaining is not None
    assert 4.0 < service.time_remaining <= 5.0 + REPLY_GRACE + 0.05, "gRPC rounds a deadline up to its next 50 ms"


async def test_metadata_and_routing_key_are_sent(ask: Ask, service: FakeService) -> None:
    """The client's metadata goes with each call, the routing key with its own."""
    await ask("predict", WINDOW, routing_key="desk-7", client={"metadata": (("authorization", "Bearer x"),)})
    assert service.metadata["authorization"] == "Bearer x"
    assert service.metadata["x-tickserve-routing-key"] == "desk-7"


async def test_a_refusal_is_raised_with_its_details(ask: Ask, service: FakeService) -> None:
    """The rich status of a failed call becomes the typed exception."""
    service.refusal = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", retry_delay=0.125)
    with pytest.raises(OverloadedError, match="QUEUE_FULL: full") as caught:
        await ask("predict", WINDOW)
    assert caught.value.retry_delay == 0.125
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_a_proxys_error_is_the_transports(ask: Ask, service: FakeService) -> None:
    """UNKNOWN without our reason is what HAProxy's own 5xx looks like."""
    service.plain_code = grpc.StatusCode.UNKNOWN
    with pytest.raises(TransportError, match="UNKNOWN: plain words"):
        await ask("predict", WINDOW)


async def test_a_silent_service_ends_in_a_deadline_error(ask: Ask, service: FakeService) -> None:
    """The caller is free again at the deadline, whatever the service does."""
    service.silent = True
    with pytest.raises(DeadlineError) as caught:
        await ask("predict", WINDOW, timeout=0.05)
    assert caught.value.reason == ""


async def test_nobody_at_home_is_the_transports() -> None:
    """A refused connection is told at once, not at the deadline."""
    with socket.socket() as unheard:  # bound and not listening: nobody else can take the port
        unheard.bind(("127.0.0.1", 0))
        async with AsyncClient(f"127.0.0.1:{unheard.getsockname()[1]}") as client:
            with pytest.raises(TransportError) as caught:
                await client.predict(WINDOW, timeout=30.0)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_bad_window_never_leaves(ask: Ask, service: FakeService) -> None:
    """A window of the wrong rank is refused here."""
    with pytest.raises(ValueError, match="features, steps"):
        await ask("predict", np.zeros(6))
    assert service.received == []


async def test_a_batch_keeps_its_order(ask: Ask) -> None:
    """Results stand where their items stood, errors as values among them."""
    items = [BatchItem(symbol="A"), BatchItem(WINDOW, request_id="bad"), BatchItem(symbol="C"), WINDOW]
    first, second, third, fourth = await ask("predict_batch", items)
    assert (first.input.symbol, third.input.symbol, fourth.label) == ("A", "C", "buy")
    assert isinstance(second, InvalidRequestError)
    assert second.reason == "INVALID_SHAPE"


async def test_a_batch_that_lost_a_result_is_refused(ask: Ask) -> None:
    """Fewer results than items fail the call: none could be trusted."""
    with pytest.raises(TransportError, match="1 results came back for 2 items"):
        await ask("predict_batch", [WINDOW, BatchItem(WINDOW, request_id="lost")])


async def test_models_are_listed_to_the_last_page(ask: Ask) -> None:
    """Pages are followed until there are no more."""
    first, second = await ask("models")
    assert (str(first.version), first.state, first.is_default) == ("eurusd:3", ModelState.SERVING, True)
    assert first.engine is not None
    assert (first.engine.name, first.engine.thread_count) == ("openvino", 2)
    assert (first.bar_interval, first.training_metrics["accuracy"]) == (3600.0, 0.42)
    assert (str(second.version), second.engine) == ("gbpusd:1", None)


async def test_one_model_is_described(ask: Ask) -> None:
    """A model is found by name and version."""
    model = await ask("model", "eurusd:2")
    assert (model.version.version, model.feature_count, model.time_steps) == (2, 2, 3)


async def test_statistics_are_read(ask: Ask) -> None:
    """Counters and queues arrive."""
    (told,) = await ask("statistics")
    assert (told.replica_id, told.uptime_duration, told.batch_count) == ("replica-1", 90.0, 1234)
    assert told.outcome_counts == {"QUEUE_FULL": 2, "ok": 5678}
    assert told.classes[0].priority is Priority.REAL_TIME
    assert told.classes[0].oldest_duration == pytest.approx(0.005)
    assert (told.classes[0].in_time_count, told.classes[0].late_count) == (3990, 10)
    assert (told.promoted_count, told.profile) == (77, "low_latency")


async def test_costs_of_batches_are_read(ask: Ask) -> None:
    """Each model's costs arrive as frozen values, in seconds and in the service's order."""
    (told,) = await ask("statistics")
    (cost,) = told.costs
    assert (str(cost.model), cost.batch_limit, [batch.batch_size for batch in cost.batches]) == (
        "eurusd:3",
        24,
        [1, 8, 32],
    )
    assert isinstance(cost.batches[1], BatchCost)
    assert cost.batches[1].median_duration == pytest.approx(0.00375)
    assert cost.batches[1].quantile_duration == pytest.approx(0.0045)


async def test_the_answering_replica_stays_first(ask: Ask, service: FakeService) -> None:
    """Replicas keep the service's order, each with the age of its figures."""
    service.replicas = [replica("z"), replica("a", sample_age=2.5)]
    assert [(told.replica_id, told.sample_age) for told in await ask("statistics")] == [("z", 0.0), ("a", 2.5)]


async def test_the_miss_ratio_is_of_the_admitted(ask: Ask) -> None:
    """What was late counts against all that ended; where nothing ended there is no ratio."""
    (told,) = await ask("statistics")
    assert [entry.miss_ratio for entry in told.classes] == [0.0025, 0.00001, None, None]


@pytest.mark.parametrize(("name", "state"), [("", "SERVING"), ("nobody", "SERVICE_UNKNOWN")])
async def test_health_is_told(ask: Ask, name: str, state: str) -> None:
    """The standard service's words are passed on; an unknown service is one of them."""
    assert await ask("health", name) == state


@pytest.mark.parametrize("method", ["models", "model", "statistics"])
async def test_every_call_raises_typed_errors(ask: Ask, service: FakeService, method: str) -> None:
    """No call leaks gRPC's own exceptions."""
    service.refusal = rich_status(grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
    with pytest.raises(InvalidRequestError):
        await ask(method)


async def test_an_async_client_connects_anew_after_close(service: FakeService) -> None:
    """Closing is not the end of the object: the next call opens a connection."""
    client = AsyncClient(service.target)
    assert await client.health() == "SERVING"
    await client.close()
    await client.close()
    assert await client.health() == "SERVING"
    await client.close()


def test_a_sync_client_connects_anew_after_close(service: FakeService) -> None:
    """As the asynchronous one."""
    client = Client(service.target)
    assert client.health() == "SERVING"
    client.close()
    client.close()
    assert client.health() == "SERVING"
    client.close()

"""Properties of observation in any mix of requests and cancellations: what began ends once, and as it was answered."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, fields

import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.call import Call, current_call
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.rpc.ingress import METHODS, STREAMED_METHODS
from tests.support import messages as m
from tests.support.fakes import POISON, FakeContext
from tests.support.local import LocalService, local_service
from tests.support.observed import Recorder
from tests.support.raw_client import read_status
from tests.support.registry import make_registry
from tests.support.service import settings_for
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictBatchResult,
    StreamPredictResponse,
)
from tickserve.v1.window_pb2 import Window

QUICK = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Rpc:
    """One call of a mix.

    Attributes:
        method: Its short name.
        items: What its windows are: each is `new`, `known`, `poison`, `bad` or `garbage`.
        gives_up_after: Turns of the event loop after which its client goes; None if it stays.
    """

    method: str
    items: tuple[str, ...]
    gives_up_after: int | None


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    """Hears of everything."""
    return Recorder()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[LocalService]:
    """A replica with a fake engine."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    given = settings_for(registry, health={"deep_interval": 0}, max_in_flight_per_stream=3)
    with local_service(given, observers=[recorder]) as running:
        yield running
        assert not running.errors


ITEMS = st.sampled_from(("new", "known", "poison", "bad", "garbage"))
TURNS = st.none() | st.integers(0, 40)
RPCS = st.lists(
    st.builds(Rpc, method=st.just("Predict"), items=st.tuples(ITEMS), gives_up_after=TURNS)
    | st.builds(
        Rpc,
        method=st.sampled_from(("PredictBatch", "StreamPredict")),
        items=st.lists(ITEMS, max_size=6).map(tuple),
        gives_up_after=TURNS,
    ),
    min_size=1,
    max_size=5,
)


def window(kind: str, serial: int) -> Window:
    """Returns a window of a kind; a new one was never seen before."""
    if kind == "bad":
        return m.spoilt_window(time_steps=59)
    values = {"new": 1.0 + serial / 1e6, "known": 0.5, "poison": POISON}
    return m.spoilt_window(raw_float32=m.floats(at=0, value=values[kind]))


def message(rpc: Rpc, serial: int) -> bytes:
    """Returns the request of a unary call; one garbled item garbles a batch as a whole."""
    if "garbage" in rpc.items:
        return b"\xff"
    if rpc.method == "Predict":
        return m.predict(window=window(rpc.items[0], serial)).SerializeToString()
    items = [PredictBatchItem(window=window(kind, serial + number)) for number, kind in enumerate(rpc.items)]
    return m.batch(items).SerializeToString()


async def requests(rpc: Rpc, serial: int) -> AsyncIterator[bytes]:
    """Sends the items of a stream."""
    for number, kind in enumerate(rpc.items):
        await asyncio.sleep(0)
        is_garbage = kind == "garbage"
        yield b"\xff" if is_garbage else m.item(f"{number}", window=window(kind, serial + number)).SerializeToString()


async def make(service: LocalService, rpc: Rpc, serial: int) -> tuple[FakeContext, list[Message]] | None:
    """Makes one call as the seam does; returns what the client is told, or None if it is gone."""
    call = Call(method=METHODS[rpc.method], received_at=asyncio.get_running_loop().time(), caller=str(serial))
    context, dispatcher = FakeContext(), service.replica.dispatcher

    async def serve() -> list[Message]:
        current_call.set(call)
        if rpc.method in STREAMED_METHODS:
            return [one async for one in dispatcher.streamed(rpc.method, requests(rpc, serial), context)]
        response = await dispatcher.unary(rpc.method, message(rpc, serial), context)
        return [response] if isinstance(response, Message) else []

    task = asyncio.get_running_loop().create_task(serve())
    if rpc.gives_up_after is not None:
        # At least once, so that the call begins: one that the server never saw leaves nothing.
        for _ in range(1 + rpc.gives_up_after):
            await asyncio.sleep(0)
        task.cancel()
    try:
        return context, await task
    except asyncio.CancelledError:
        return None


def told(context: FakeContext, responses: list[Message]) -> list[str]:
    """Returns what the client was told of each request that the server had read: ANSWERED, or a reason."""
    if context.code is not None:  # also of a batch, which counts as one request where it cannot be read or is empty
        [(_, value)] = context.trailers
        assert isinstance(value, bytes)
        return [read_status(status_pb2.Status.FromString(value)).reason]
    outcomes = []
    for response in responses:
        results = response.results if isinstance(response, PredictBatchResponse) else [response]
        for result in results:
            if isinstance(result, PredictBatchResult | StreamPredictResponse) and result.HasField("error"):
                outcomes.append(read_status(result.error).reason)
            else:
                outcomes.append(Outcome.ANSWERED.name)
    return outcomes


def ended(record: RequestRecord) -> str:
    """Returns how a record says that its request ended."""
    return record.outcome.name if record.reason is None else record.reason.name


@given(rpcs=RPCS)
@QUICK
def test_what_began_ends_once_as_it_was_answered(service: LocalService, recorder: Recorder, rpcs: list[Rpc]) -> None:
    """Each RPC in one record after those of its requests; a client that stays was told what they say."""
    for heard in (recorder.requests, recorder.batches, recorder.rpcs, recorder.kinds):
        heard.clear()

    async def together() -> list[tuple[FakeContext, list[Message]] | None]:
        calls = (make(service, rpc, 100 * number) for number, rpc in enumerate(rpcs))
        return await asyncio.gather(*calls)

    outcomes = service.runner.run(together())
    assert sorted(record.call.caller for record in recorder.rpcs) == [str(100 * n) for n in range(len(rpcs))]
    codes = {record.call.caller: record for record in recorder.rpcs}
    for number, (rpc, outcome) in enumerate(zip(rpcs, outcomes, strict=True)):
        caller = str(100 * number)
        records = [record for record in recorder.requests if record.call.caller == caller]
        assert len({id(record) for record in records}) == len(records) <= max(1, len(rpc.items))
        if outcome is None:
            assert codes[caller].code == "CANCELLED"
            continue
        assert sorted(map(ended, records)) == sorted(told(*outcome))
        assert (codes[caller].code == "OK") == (outcome[0].code is None)
    for record in recorder.requests:
        kinds = {"Predict": RequestKind.UNARY, "PredictBatch": RequestKind.BATCH_ITEM}
        assert record.kind is kinds.get(record.method, RequestKind.STREAM_ITEM)
        assert record.ended_at <= codes[record.call.caller].ended_at
        if record.outcome is Outcome.ANSWERED:
            assert record.is_cached == (record.batch is None)
        if record.stages is not None:
            seconds = [getattr(record.stages, field.name) for field in fields(record.stages)]
            assert min(seconds) >= 0
            assert sum(seconds) == pytest.approx(record.duration, abs=1e-9)
    assert all(1 <= run.size <= 8 and not run.failed for run in recorder.batches)

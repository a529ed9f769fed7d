"""Laws of the Open Inference Protocol's requests, without socket or real engine: what is refused, counted, stopped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from google.rpc import status_pb2
from tritonclient.grpc import service_pb2

from batching import PriorityClass
from server.call import Call, current_call
from server.grant import Grant
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.refusal import Reason
from server.routes.router import Arm, arm_of
from server.rpc.ingress import METHODS
from tests.support import oip
from tests.support.bad_infer import BAD, MOST, NOT_SUPPORTED, parameter
from tests.support.fakes import POISON, FakeContext
from tests.support.halts import halted, scope
from tests.support.local import LocalService, local_service
from tests.support.raw_client import Refused, read_status
from tests.support.registry import NAME, make_registry
from tests.support.service import settings_for


class Recorder:
    """Keeps what requests came to."""

    def __init__(self) -> None:
        self.requests: list[RequestRecord] = []

    def request_ended(self, record: RequestRecord) -> None:
        """Keeps it."""
        self.requests.append(record)

    def batch_ended(self, run: Any) -> None:
        """Keeps nothing."""

    def rpc_ended(self, record: Any) -> None:
        """Keeps nothing."""

    def taken(self) -> list[RequestRecord]:
        """Returns what has ended since the last time."""
        taken, self.requests = self.requests, []
        return taken


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    """Told of everything."""
    return Recorder()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[LocalService]:
    """A replica with a fake engine, one version, few windows a request, and a limit for background requests."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    settings = settings_for(registry, max_windows_per_request=MOST)
    with local_service(settings, observers=[recorder]) as running:
        yield running
        assert not running.errors


@pytest.fixture(autouse=True)
def _nothing_is_recorded_yet(recorder: Recorder) -> None:
    recorder.taken()


def ask(service: LocalService, request: Any, **caller: Any) -> Any:
    """Returns the response to one ModelInfer, or how it was refused.

    Args:
        service: Who is asked.
        request: The message.
        **caller: Fields of the call.
    """

    async def serve() -> Any:
        now = asyncio.get_running_loop().time()
        fields = {name: value(now) if callable(value) else value for name, value in caller.items()}
        current_call.set(Call(method=METHODS["ModelInfer"], received_at=now, **fields))
        context = FakeContext()
        response = await service.replica.dispatcher.unary("ModelInfer", request.SerializeToString(), context)
        if context.code is None:
            return response
        [(_, value)] = context.trailers
        assert isinstance(value, bytes)
        return read_status(status_pb2.Status.FromString(value))

    return service.runner.run(serve())


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_with_their_type(service: LocalService, recorder: Recorder, name: str) -> None:
    """Each has its reason and the path of the field that is to blame, and counts as refused."""
    request, reason, field = BAD[name]
    refused = ask(service, request)
    assert isinstance(refused, Refused)
    assert (refused.code.name, refused.reason, refused.fields) == ("INVALID_ARGUMENT", reason, (field,))
    assert {(record.outcome, record.reason) for record in recorder.taken()} == {(Outcome.REFUSED, Reason[reason])}


@pytest.mark.parametrize("request_", NOT_SUPPORTED)
def test_what_would_be_answered_wrongly_is_refused(service: LocalService, request_: Any) -> None:
    """What is ignored elsewhere, these may not be: the caller would take something else for an answer."""
    refused = ask(service, request_)
    assert (refused.code.name, refused.reason) == ("UNIMPLEMENTED", "NOT_SUPPORTED")


def test_unknown_parameters_are_ignored(service: LocalService) -> None:
    """As other servers do: clients add their own."""
    assert oip.outputs(ask(service, parameter("colour", "blue")))


@pytest.mark.parametrize(
    ("number", "priority"),
    [
        (None, PriorityClass.STANDARD),
        (0, PriorityClass.STANDARD),
        (1, PriorityClass.REAL_TIME),
        (2, PriorityClass.STANDARD),
        (3, PriorityClass.BACKGROUND),
    ],
)
def test_priorities_are_the_classes(
    service: LocalService, recorder: Recorder, number: int | None, priority: PriorityClass
) -> None:
    """1 is the highest in either protocol, 0 and none are the default; signed or not."""
    request = oip.infer()
    if number is not None:
        request.parameters["priority"].uint64_param = number
    assert oip.outputs(ask(service, request))
    [record] = recorder.taken()
    assert record.priority is priority


@pytest.mark.parametrize(
    ("microseconds", "rpc", "seconds"),
    [(2_500_000, None, 2.5), (0, None, 30.0), (2_500_000, 60.0, 2.5), (50_000_000, 20.0, 19.998)],
)
def test_the_earliest_deadline_holds(
    service: LocalService, recorder: Recorder, microseconds: int, rpc: float | None, seconds: float
) -> None:
    """That of the RPC less its margin, or that of `timeout`; the class's default where there is neither."""
    deadline = None if rpc is None else (lambda now: now + rpc)
    assert oip.outputs(ask(service, parameter("timeout", microseconds), rpc_deadline=deadline))
    [record] = recorder.taken()
    assert record.deadline is not None
    assert record.deadline - record.received_at == pytest.approx(seconds, abs=1e-6)


def test_each_window_is_a_request_of_its_own(service: LocalService, recorder: Recorder) -> None:
    """In records as in the scheduler, under the caller's one id."""
    ask(service, oip.infer(oip.windows(0, 1, 2), id="three"))
    records = recorder.taken()
    assert [(record.outcome, record.request_id, record.kind) for record in records] == [
        (Outcome.ANSWERED, "three", RequestKind.BATCH_ITEM)
    ] * 3


def test_one_window_that_fails_fails_the_request(service: LocalService, recorder: Recorder) -> None:
    """The protocol has no place for one window's error: all count as what the caller was told, and none goes on."""
    values = oip.windows(30, 31, 32)
    values[1, 0, 0] = POISON
    refused = ask(service, oip.infer(values, parameters={"bypass_cache": True}))
    assert (refused.code.name, refused.reason) == ("INTERNAL", "INFERENCE_FAILED")
    assert [record.reason for record in recorder.taken()] == [Reason.INFERENCE_FAILED] * 3
    scheduler = service.replica.snapshot().scheduler
    assert not scheduler.in_flight
    assert not any(scheduler.queue_size.values())


def test_a_class_above_the_keys_highest_is_refused(service: LocalService) -> None:
    """The same right as for `Predict`."""
    low = Grant(key_id="low", owner="low", max_priority=PriorityClass.STANDARD)
    refused = ask(service, parameter("priority", 1), grant=low)
    assert (refused.code.name, refused.reason) == ("PERMISSION_DENIED", "PRIORITY_NOT_ALLOWED")
    assert oip.outputs(ask(service, parameter("priority", 2), grant=low))


def test_what_is_halted_is_not_answered(service: LocalService) -> None:
    """Neither by the unary method nor on a stream, which lives on and is answered again afterwards."""
    view = service.replica._halts.view
    item = oip.infer(id="i").SerializeToString()
    halted(view, scope("model", NAME))
    try:
        refused = ask(service, oip.infer())
        assert (refused.code.name, refused.reason) == ("FAILED_PRECONDITION", "HALTED")
        [answer], ended = service.stream("ModelStreamInfer", [item])
    finally:
        halted(view)
    told: Any = answer
    assert ended is None
    assert told.infer_response.parameters["reason"].string_param == "HALTED"
    [answer], ended = service.stream("ModelStreamInfer", [item])
    told = answer
    assert ended is None
    assert not told.error_message
    assert told.infer_response.id == "i"


def test_an_answer_that_waited_is_looked_at_again(service: LocalService, recorder: Recorder) -> None:
    """Its client did not read while its model was halted: it does not leave any more."""
    view = service.replica._halts.view

    async def requests() -> AsyncIterator[bytes]:
        for name in ("read", "waiting"):
            yield oip.infer(id=name).SerializeToString()

    async def read() -> list[Any]:
        current_call.set(Call(method=METHODS["ModelStreamInfer"], received_at=asyncio.get_running_loop().time()))
        stream = service.replica.dispatcher.streamed("ModelStreamInfer", requests(), FakeContext())
        found: list[Any] = [await anext(stream)]
        while len(recorder.requests) < 2:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
        halted(view, scope("model", NAME))
        try:
            return found + [response async for response in stream]
        finally:
            halted(view)

    first, second = service.runner.run(read())
    assert [record.outcome for record in recorder.taken()] == [Outcome.ANSWERED] * 2
    assert (first.infer_response.id, first.error_message) == ("read", "")
    assert second.infer_response.id == "waiting"
    assert second.infer_response.parameters["reason"].string_param == "HALTED"
    assert not second.infer_response.outputs


def test_a_request_beyond_the_callers_rate_is_refused_as_a_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two of three windows would be within it."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    settings = settings_for(registry, limits={"default_rate": 1e-3, "default_burst": 2})
    with local_service(settings) as service:
        refused = ask(service, oip.infer(oip.windows(0, 1, 2)))
        assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert refused.retry_delay is not None


def test_all_windows_of_a_request_follow_one_arm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The route's, by the caller's key: the response names one version, and over many keys both answer."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=2)
    route = {"stable": 1, "candidate": 2, "percent": 50, "compared_percent": 0}
    with local_service(settings_for(registry, routes={NAME: route})) as service:
        for version in ("1", "2"):
            card = service_pb2.ModelReadyRequest(name=NAME, version=version).SerializeToString()
            while not service.unary("ModelReady", card).ready:  # type: ignore[union-attr]  # it is not refused
                service.runner.run(asyncio.sleep(0.01))
        keys = [f"desk-{number}" for number in range(12)]
        answers = [ask(service, oip.infer(oip.windows(0, 1, 2)), routing_key=key) for key in keys]
    expected = ["2" if arm_of(NAME, key, 50) is Arm.CANDIDATE else "1" for key in keys]
    assert [answer.model_version for answer in answers] == expected
    assert set(expected) == {"1", "2"}

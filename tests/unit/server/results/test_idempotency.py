"""Laws of idempotency: repeats wait for the first one and get its answer, and inherit none of its misfortunes."""

import asyncio

import pytest

from batching import ExpiredInQueueError
from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.refusal import Reason, Refusal
from server.results.idempotency import Idempotency
from server.results.request_ledger import RequestKey
from tests.support.fakes import settle

KEY = RequestKey("desk", "a")
UUID = "01234567-89ab-cdef-0123-456789ABCDEF"


class Desk:
    """Asks under one id, with computations that end when the test says so.

    Attributes:
        now: Time that only the test moves.
        runs: The computations so far.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.live = LiveSettings(Settings())
        self.guard = Idempotency(self.live, clock=lambda: self.now)
        self.runs: list[asyncio.Future[bytes]] = []

    async def ask(self, payload: bytes = b"p", *, deadline: float = 1e9) -> tuple[bytes, bool]:
        """Returns the answer, and whether it was given before."""
        async with self.guard.claim(KEY, payload, received_at=self.now, deadline=deadline) as claim:
            if claim.answer is not None:
                return claim.answer, True
            self.runs.append(asyncio.get_running_loop().create_future())
            answer = await self.runs[-1]
            claim.keep(answer)
            return answer, False

    def start(self, payload: bytes = b"p", *, deadline: float = 1e9) -> asyncio.Task[tuple[bytes, bool]]:
        """Begins to ask."""
        return asyncio.get_running_loop().create_task(self.ask(payload, deadline=deadline))


@pytest.fixture
def desk() -> Desk:
    """Somebody who asks; made before the loop runs, for settings look at files."""
    return Desk()


async def test_a_repeat_gets_the_first_answer(desk: Desk) -> None:
    """Without a second computation."""
    first = desk.start()
    await settle()
    desk.runs[0].set_result(b"x")
    assert await first == (b"x", False)
    assert await desk.ask() == (b"x", True)
    assert len(desk.runs) == 1


async def test_repeats_wait_for_one_that_runs(desk: Desk) -> None:
    """All of them, and all get its answer."""
    tasks = [desk.start() for _ in range(4)]
    await settle()
    assert len(desk.runs) == 1
    desk.runs[0].set_result(b"x")
    assert await asyncio.gather(*tasks) == [(b"x", False)] + [(b"x", True)] * 3


async def test_the_first_ones_failure_is_its_own(desk: Desk) -> None:
    """One of those that waited runs itself, the others wait on; nothing of the failure is remembered."""
    tasks = [desk.start() for _ in range(3)]
    await settle()
    desk.runs[0].set_exception(RuntimeError("boom"))
    with pytest.raises(RuntimeError):
        await tasks[0]
    await settle()
    assert len(desk.runs) == 2
    desk.runs[1].set_result(b"y")
    assert sorted(await asyncio.gather(*tasks[1:])) == [(b"y", False), (b"y", True)]


async def test_the_first_ones_cancellation_is_its_own(desk: Desk) -> None:
    """A client that hangs up takes nobody with it."""
    tasks = [desk.start() for _ in range(2)]
    await settle()
    tasks[0].cancel()
    await settle()
    assert tasks[0].cancelled()
    desk.runs[1].set_result(b"y")
    assert await tasks[1] == (b"y", False)


async def test_one_that_waits_may_leave(desk: Desk) -> None:
    """Its cancellation ends neither the computation nor the others' waiting."""
    tasks = [desk.start() for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    desk.runs[0].set_result(b"x")
    assert await tasks[0] == (b"x", False)
    assert await tasks[2] == (b"x", True)
    assert len(desk.runs) == 1


async def test_each_waits_until_its_own_deadline(desk: Desk) -> None:
    """Whoever has no time left is told so; the first one goes on."""
    first = desk.start()
    await settle()
    with pytest.raises(ExpiredInQueueError):
        await desk.ask(deadline=desk.now)
    desk.runs[0].set_result(b"x")
    assert await first == (b"x", False)


async def test_an_answer_after_the_deadline_is_none(desk: Desk) -> None:
    """However quickly it could be given again."""
    first = desk.start()
    await settle()
    desk.runs[0].set_result(b"x")
    await first
    with pytest.raises(ExpiredInQueueError):
        await desk.ask(deadline=desk.now - 1.0)


async def test_another_payload_is_refused(desk: Desk) -> None:
    """With the field, while the first one runs and afterwards."""
    first = desk.start()
    await settle()
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await desk.ask(b"q")
        assert (refused.value.reason, refused.value.field) == (Reason.REQUEST_ID_REUSED, "request_id")
        if not desk.runs[0].done():
            desk.runs[0].set_result(b"x")
            await first


async def test_settings_hold_at_once() -> None:
    """A shorter window forgets what was remembered under a longer one; none remembers nothing."""
    changed = await asyncio.to_thread(lambda: [Settings(cache=CacheSettings(request_id_window=w)) for w in (60, 5, 0)])
    desk = await asyncio.to_thread(Desk)
    desk.live.change(changed[0])
    first = desk.start()
    await settle()
    desk.runs[0].set_result(b"x")
    await first
    desk.now += 10.0
    assert (await desk.ask())[1]
    desk.live.change(changed[1])
    again = desk.start()
    await settle()
    desk.runs[1].set_result(b"y")
    assert await again == (b"y", False)
    desk.live.change(changed[2])
    assert desk.guard.key("desk", "a") is None


@pytest.mark.parametrize(
    ("caller", "request_id", "counts"),
    [
        ("desk", "1", True),
        ("desk", "", False),
        ("", "1", False),
        ("", "", False),
        ("", UUID, True),
        ("", UUID.lower(), True),
        ("", UUID + "0", False),
        ("", UUID.replace("-", ""), False),
        ("", "prediction-000000000000000000000001", False),
    ],
)
def test_whose_ids_count(desk: Desk, caller: str, request_id: str, counts: bool) -> None:
    """Any id of a caller with an identity; of anybody else only one that no stranger comes by."""
    expected = RequestKey(caller, request_id) if counts else None
    assert desk.guard.key(caller, request_id) == expected

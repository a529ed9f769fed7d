"""Laws of the writer and the gate: nobody waits for a disk, every loss is counted, and what is required is not lost."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.refusal import Reason, Refusal
from server.telemetry.decision import Decision
from server.telemetry.decision_frame import decode, split
from server.telemetry.decision_log import DecisionLog
from server.telemetry.decision_writer import DecisionWriter
from tests.support.ended_requests import answered, refused

PATIENCE = 30.0


class Disk:
    """Files in memory.

    Attributes:
        frames: What was written.
        gate: Cleared by a test to make the disk slow.
        error: Raised by every access, if set.
        begun_count: Files begun.
        sync_count: How often it was asked to make things last.
    """

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: OSError | None = None
        self.begun_count = 0
        self.sync_count = 0
        self.is_closed = False

    def begin(self) -> None:
        """Begins a file."""
        self._access()
        self.begun_count += 1

    def append(self, frame: bytes) -> None:
        """Writes one record."""
        self.gate.wait(PATIENCE)
        self._access()
        self.frames.append(frame)

    def sync(self) -> None:
        """Makes it last."""
        self._access()
        self.sync_count += 1

    def close(self) -> None:
        """Ends the file."""
        self.is_closed = True

    def numbers(self) -> list[int]:
        """Returns the numbers of the decisions written."""
        return [
            decode(item[1]).fields["n"] for frame in self.frames for item in split(frame) if isinstance(item, tuple)
        ]

    def _access(self) -> None:
        if self.error is not None:
            raise self.error


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for what the writer's thread does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "the writer's thread has not done it"
        threading.Event().wait(0.001)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk() -> Disk:
    """Returns a new one."""
    return Disk()


@pytest.fixture
def make(disk: Disk) -> Iterator[Callable[..., DecisionWriter]]:
    """Makes writers of ten decisions, started unless told otherwise, and closes them."""
    writers: list[DecisionWriter] = []

    def made(*, is_started: bool = True, **changes: Any) -> DecisionWriter:
        writer = DecisionWriter(disk, **{"queue_size": 10, "is_patient": False} | changes)
        writers.append(writer)
        if is_started:
            writer.start()
        return writer

    yield made
    disk.gate.set()
    disk.error = None
    for writer in writers:
        writer.close(PATIENCE)


def decision(number: int) -> Decision:
    """Returns a decision that has a number."""
    return Decision(fields={"n": number})


def test_decisions_are_written_in_order_and_all_before_the_end(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """Closing waits for them; then the file is ended, and what comes later is counted."""
    writer = make(queue_size=1000)
    for number in range(200):
        assert writer.offer(decision(number))
    writer.close(PATIENCE)
    writer.close(PATIENCE)
    assert disk.numbers() == list(range(200))
    assert disk.is_closed
    assert disk.sync_count >= 200 // 64
    assert (writer.written_count, writer.dropped_count) == (200, 0)
    assert not writer.offer(decision(200))
    assert writer.dropped_count == 1


def test_a_slow_disk_costs_records_and_no_time(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """The queue is bounded; what does not fit is counted; what must be kept is taken all the same."""
    disk.gate.clear()
    writer = make()
    taken = [writer.offer(decision(number)) for number in range(30)]
    assert 10 <= sum(taken) <= 11
    assert writer.dropped_count == 30 - sum(taken)
    assert writer.offer(decision(99), must_keep=True)
    disk.gate.set()
    writer.close(PATIENCE)
    assert writer.written_count == sum(taken) + 1
    assert disk.numbers()[-1] == 99


def test_best_effort_drops_what_a_full_disk_refuses(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """And writes again when there is room; every decision is written or counted as dropped."""
    writer = make(clock=lambda: 0.0)
    disk.error = FULL
    for number in range(5):
        writer.offer(decision(number))
    wait_until(lambda: writer.dropped_count == 5)
    assert writer.is_failing
    disk.error = None
    # The clock stands still: it is the attempt between two decisions that finds the disk well again.
    wait_until(lambda: not writer.is_failing)
    writer.close(PATIENCE)
    assert writer.written_count + writer.dropped_count == 5


def test_what_is_required_is_tried_until_it_is_written(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """None is lost while the process lives, and their order stands."""
    writer = make(is_patient=True)
    writer.offer(decision(0))
    wait_until(lambda: writer.written_count == 1)
    disk.error = FULL
    for number in range(1, 4):
        writer.offer(decision(number))
    wait_until(lambda: writer.is_failing)
    disk.error = None
    writer.close(PATIENCE)
    assert disk.numbers() == [0, 1, 2, 3]
    assert writer.dropped_count == 0


def test_the_end_does_not_wait_for_a_disk(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """What cannot be written when the process stops is counted."""
    writer = make(is_patient=True)
    disk.error = FULL
    for number in range(4):
        writer.offer(decision(number))
    writer.close(PATIENCE)
    assert (writer.written_count, writer.dropped_count) == (0, 4)


def test_the_disk_is_looked_at_before_the_first_decision(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """So that no answer is given that could not be recorded; and again, by itself, until it is well."""
    disk.error = FULL
    writer = make(is_patient=True)
    wait_until(lambda: writer.is_failing)
    disk.error = None
    wait_until(lambda: not writer.is_failing)
    assert disk.begun_count == 1


def required(writer: DecisionWriter) -> DecisionLog:
    """Returns a log without which there are no answers."""
    return DecisionLog(writer, replica_id="r", is_required=True)


def test_the_gate_refuses_while_the_disk_does(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """With its own reason and a delay, before anything is computed; and lets in when the disk is well again."""
    disk.error = FULL
    writer = make(is_patient=True)
    log = required(writer)
    wait_until(lambda: writer.is_failing)
    with pytest.raises(Refusal) as caught, log.gate():
        pytest.fail("computed")
    assert caught.value.reason is Reason.DECISION_LOG_UNAVAILABLE
    assert caught.value.retry_delay
    disk.error = None
    wait_until(lambda: not writer.is_failing)
    with log.gate():
        pass


def test_the_gate_holds_room_for_what_is_computed(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """Requests in flight and records that wait never exceed the queue, so that no answer is without its record."""
    disk.gate.clear()
    writer = make(is_started=False, queue_size=3, is_patient=True)
    log = required(writer)
    with log.gate(), log.gate(), log.gate():
        with pytest.raises(Refusal), log.gate():
            pytest.fail("computed")
        log.request_ended(refused())
    assert log.can_take
    for _ in range(2):
        log.request_ended(answered())
    assert not log.can_take
    log.request_ended(refused())  # a refusal may be lost, and is counted
    log.request_ended(answered())  # an answer that was let in may not
    assert (writer.waiting_count, log.dropped_count) == (4, 1)
    disk.gate.set()
    writer.start()
    writer.close(PATIENCE)
    assert log.written_count == 4


def test_a_request_that_fails_gives_its_room_back(make: Callable[..., DecisionWriter]) -> None:
    """Whatever ends it."""
    log = required(make(queue_size=1, is_patient=True))
    for _ in range(5):
        with pytest.raises(KeyError), log.gate():
            raise KeyError
    assert log.can_take


def test_best_effort_lets_everything_in(make: Callable[..., DecisionWriter], disk: Disk) -> None:
    """It loses records, never requests."""
    disk.error = FULL
    writer = make(queue_size=1)
    wait_until(lambda: writer.is_failing)
    log = DecisionLog(writer, replica_id="r", is_required=False)
    with log.gate(), log.gate(), log.gate():
        pass

"""Laws of the way out of spans: bounded, never in the way, and what is lost is counted."""

import threading

import pytest

from server.telemetry.span_queue import BATCH_SIZE, SpanCounts, SpanQueue

PATIENCE = 60.0


class Sender:
    """Keeps what it is sent, at a pace that the test sets.

    Attributes:
        sent: Everything, in order.
        batches: Size of each batch.
        is_up: Whether it takes what it gets.
        error: Raised by every call, if set.
        gate: Holds calls while it is not set, until they are told to give up.
        entered: Set by each call.
    """

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.batches: list[int] = []
        self.is_up = True
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.shutdown_count = 0
        self._given_up = False

    def send(self, spans: list[int]) -> bool:
        """See `SpanSender`."""
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        if self._given_up or not self.is_up:
            return False
        self.sent += spans
        self.batches.append(len(spans))
        return True

    def shutdown(self) -> None:
        """See `SpanSender`."""
        self.shutdown_count += 1
        self._given_up = True
        self.gate.set()


def queue_to(sender: Sender, *, size: int = 1000, interval: float = 0.001) -> tuple[SpanQueue[int], SpanCounts]:
    """Returns a queue and what it counts."""
    counts = SpanCounts()
    return SpanQueue(lambda: sender, size=size, counts=counts, interval=interval), counts


def test_what_is_offered_is_sent_once_and_in_order() -> None:
    """Closing sends what waits; nothing is left uncounted."""
    sender = Sender()
    queue, counts = queue_to(sender)
    for first in range(0, 900, 3):
        queue.offer([first, first + 1, first + 2])
    queue.close(PATIENCE)
    assert sender.sent == list(range(900))
    assert max(sender.batches) <= BATCH_SIZE
    assert (counts.exported, counts.dropped) == (900, 0)
    assert sender.shutdown_count == 1


def test_a_full_batch_does_not_wait() -> None:
    """The interval is for what does not fill one."""
    sender = Sender()
    queue, _ = queue_to(sender, interval=PATIENCE)
    queue.offer(list(range(BATCH_SIZE)))
    assert sender.entered.wait(PATIENCE / 2)
    queue.close(PATIENCE)


def test_a_full_queue_drops_whole_groups_and_never_blocks() -> None:
    """With a sender that is stuck: what there is no room for is dropped at once, all of a request's spans or none."""
    sender = Sender()
    sender.gate.clear()
    queue, counts = queue_to(sender, size=10)
    queue.offer([0])
    assert sender.entered.wait(PATIENCE)
    for first in range(1, 100, 4):
        queue.offer([first, first + 1, first + 2, first + 3])
    assert counts.dropped == 92
    sender.gate.set()
    queue.close(PATIENCE)
    assert sender.sent == list(range(9))
    assert counts.exported + counts.dropped == 101


def test_a_collector_that_is_away_costs_its_spans_alone() -> None:
    """What it does not take is counted, and what comes later is sent."""
    sender = Sender()
    sender.is_up = False
    queue, counts = queue_to(sender, interval=PATIENCE)
    queue.offer(list(range(BATCH_SIZE)))
    assert sender.entered.wait(PATIENCE)
    sender.entered.clear()
    sender.error = RuntimeError("broken")
    queue.offer(list(range(BATCH_SIZE)))
    assert sender.entered.wait(PATIENCE)
    queue.offer([-1])
    sender.error, sender.is_up = None, True
    queue.close(PATIENCE)
    assert sender.sent[-1] == -1
    assert counts.exported + counts.dropped == 2 * BATCH_SIZE + 1


def test_a_sender_that_raises_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each batch would fill the log at the rate of the requests."""
    sender = Sender()
    sender.error = RuntimeError("broken")
    queue, counts = queue_to(sender)
    for _ in range(3):
        queue.offer([1] * BATCH_SIZE)
    queue.close(PATIENCE)
    assert counts.dropped == 3 * BATCH_SIZE
    assert [record.message for record in caplog.records] == ["spans could not be packed and are dropped"]


def test_closing_gives_a_stuck_sender_up() -> None:
    """A dead collector does not hold the process: what was under way and what waits is dropped, and counted."""
    sender = Sender()
    sender.gate.clear()
    queue, counts = queue_to(sender)
    queue.offer([1, 2])
    assert sender.entered.wait(PATIENCE)
    queue.offer([3])
    queue.close(0.0)
    assert sender.shutdown_count == 1
    queue.close(PATIENCE)
    assert sender.shutdown_count == 1
    queue.offer([4])
    assert (counts.exported, counts.dropped) == (0, 4)


def test_settings_that_cannot_be_used_cost_spans_alone(caplog: pytest.LogCaptureFixture) -> None:
    """One line says so; requests go on."""

    def connect() -> Sender:
        raise ValueError("no such certificate")

    counts = SpanCounts()
    queue: SpanQueue[int] = SpanQueue(connect, size=10, counts=counts, interval=0.001)
    queue.offer([1, 2])
    queue.close(PATIENCE)
    assert counts.dropped == 2
    assert len(caplog.records) == 1

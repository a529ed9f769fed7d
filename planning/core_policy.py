"""Owns the bridge to the very scheduler that serves: ``batching.Scheduler``. Must not decide anything itself."""

import math
from collections.abc import Mapping, Sequence

from batching import Batch, Completion, Request, Scheduler, SchedulerConfig, SchedulerError, Ticket
from planning.ledger import ANSWERED, Ledger

_KEY = "model"


class CorePolicy:
    """Hands every event to the core, as its asyncio shell does, and copies what it says into the ledger.

    Outcomes are read generically, by the name of the error, so that new refusals of the core appear by themselves.
    """

    def __init__(self, ledger: Ledger, *, config: SchedulerConfig, warm_up: Mapping[int, float] | None = None) -> None:
        self._ledger = ledger
        self._scheduler: Scheduler[int, None] = Scheduler(config)
        for size, seconds in (warm_up or {}).items():
            self._scheduler.observe_warm_up(_KEY, size, seconds)
        self._tickets: dict[int, Ticket[int, None]] = {}  # of requests that may be cancelled yet
        self._batch: Batch[int, None] | None = None
        self._callers = [[f"{stream.name} {number}" for number in range(stream.callers)] for stream in ledger.streams]

    @property
    def scheduler(self) -> Scheduler[int, None]:
        """The core, for its statistics."""
        return self._scheduler

    def submit(self, row: int, now: float) -> None:
        """Submit a request."""
        ledger = self._ledger
        stream = ledger.stream[row]
        request = Request(
            priority=ledger.priorities[stream],
            deadline=ledger.deadline[row],
            batch_key=_KEY,
            caller=self._callers[stream][ledger.caller[row]],
            payload=row,
        )
        try:
            ticket = self._scheduler.submit(request, now)
        except SchedulerError as error:
            ledger.end(row, type(error).__name__, now, getattr(error, "retry_after", 0.0))
        else:
            if ledger.cancelled[row]:
                self._tickets[row] = ticket
        self._take_ended(now)

    def choose(self, now: float) -> Sequence[int]:
        """Return the core's choice."""
        batch = self._batch = self._scheduler.choose(now)
        self._take_ended(now)
        return batch.payloads if batch is not None else ()

    def complete(self, now: float, duration: float) -> None:
        """Report the batch back."""
        batch, self._batch = self._batch, None
        if batch is not None:
            self._scheduler.complete(batch, [None] * len(batch), now, inference_duration=duration)
            self._take_ended(now)

    def cancel(self, row: int, now: float) -> None:
        """Pass a cancellation on."""
        ticket = self._tickets.pop(row, None)
        if ticket is not None:
            self._scheduler.cancel(ticket, now)
            self._take_ended(now)

    def next_event(self, now: float, *, idle: bool) -> float:
        """Return the earliest deadline, or, for an idle engine, when requests held back may go."""
        deadline = self._scheduler.next_deadline()
        moment = math.inf if deadline is None else deadline
        if idle and self._scheduler.queued:
            wakeup = self._scheduler.next_wakeup(now)
            if wakeup is not None:
                moment = min(moment, wakeup)
        return moment

    def advance(self, now: float) -> None:
        """End what is due."""
        self._scheduler.expire(now)
        self._take_ended(now)

    def close(self, now: float) -> None:
        """End what waits for ever."""
        self._scheduler.close_queue(now)
        self._take_ended(now)

    def _take_ended(self, now: float) -> None:
        end = self._ledger.end
        for ticket in self._scheduler.take_ended():
            outcome = ticket.outcome
            row = ticket.request.payload
            if isinstance(outcome, Completion):
                end(row, ANSWERED, now)
            else:
                end(row, type(outcome).__name__, now, getattr(outcome, "retry_after", 0.0))

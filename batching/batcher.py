"""Owns the asyncio shell: who waits for which ticket, the engine slots, the timer, health and shutdown.

Must not know order, limits or outcomes, which are the core's (``scheduler``), nor any transport.

Law 2, late binding: a batch is chosen only while a slot is idle, and the moment one frees.
Law 9, expiry: one timer, armed at the earliest deadline, fires while the engine is busy, too.
Law 11, isolation: the loop is supervised. Every callback runs under a guard that logs, lets the affected requests fail
and goes on; a pass over the scheduler that succeeds is a heartbeat, and health follows the heartbeat. An engine call
beyond ``engine_hang_timeout`` fails its members, turns health off for good and calls ``on_hang`` once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Generic

from batching.alarm import Alarm
from batching.config import SchedulerConfig
from batching.engine_slot import EngineSlot, RunBatch
from batching.errors import EngineHungError, InferenceFailedError, SchedulerClosedError, SchedulerError
from batching.request import Completion, P, R, Request
from batching.scheduler import Scheduler
from batching.statistics import Statistics
from batching.ticket import Batch, Ticket

logger = logging.getLogger(__name__)


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


#: How many heartbeats may be missed before the loop counts as stuck.
_MISSED_BEATS = 5


class Batcher(Generic[P, R]):
    """Runs requests through an engine in late-bound batches. All methods belong to the loop that ran ``start``.

    Args:
        run_batch: The engine: batch key and payloads in, results in the same order out; blocking, runs in a thread.
        config: See ``SchedulerConfig``.
        clock: Monotonic seconds; also read in the engine's thread.
        slots: How many batches may run at once, each in a thread of its own.
        bind: Turns a payload into what the engine gets, at the moment its batch is chosen; see ``EngineSlot``.
        on_hang: Called once, in the loop, when an engine call has hung; should end the process.
        heartbeat_interval: Seconds between passes that happen even when nothing else does.
    """

    def __init__(
        self,
        run_batch: RunBatch[P, R],
        *,
        config: SchedulerConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
        slots: int = 1,
        bind: Callable[[P], P] | None = None,
        on_hang: Callable[[], None] = lambda: None,
        heartbeat_interval: float = 1.0,
    ) -> None:
        if slots < 1:
            raise ValueError(f"slots is {slots}; give a whole number of at least 1")
        self._run_batch = run_batch
        self._scheduler: Scheduler[P, R] = Scheduler(config or SchedulerConfig(), slots=slots)
        self._clock = clock
        self._slot_count = slots
        self._bind = bind
        self._on_hang = on_hang
        self._heartbeat_interval = heartbeat_interval
        self._waiters: dict[Ticket[P, R], asyncio.Future[Completion[R]]] = {}
        self._idle: list[EngineSlot[P, R]] = []
        self._running: dict[Batch[P, R], EngineSlot[P, R]] = {}
        self._hung: dict[Batch[P, R], EngineSlot[P, R]] = {}
        self._ever_hung = False
        self._state = _State.NEW
        self._pass_due = False
        self._last_beat = clock()
        self._quiet = asyncio.Event()  # set while closing, once nothing is left that could still end

    async def start(self) -> None:
        """Start the engine threads and take requests. A batcher starts once."""
        if self._state is not _State.NEW:
            raise SchedulerClosedError("a batcher starts once")
        self._state = _State.OPEN
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._clock, self._pass)
        for number in range(self._slot_count):
            name = f"engine-{number}"
            slot = EngineSlot(self._run_batch, clock=self._clock, loop=self._loop, name=name, bind=self._bind)
            self._idle.append(slot)
        self._beat()

    async def close(self, *, drain: bool = True) -> None:
        """Take nothing more, end what is there, stop the threads. Never waits for a hung engine.

        Args:
            drain: Finish what waits; otherwise it ends with ``SchedulerClosedError``. What runs finishes either way.
        """
        if self._state in (_State.NEW, _State.CLOSED):
            self._state = _State.CLOSED
            return
        self._state = _State.CLOSING
        if not drain:
            self._guard("close", self._close_queue)
        self._pass()
        await self._quiet.wait()
        if self._state is _State.CLOSING:  # and not closed by another call meanwhile
            self._state = _State.CLOSED
            self._heartbeat.cancel()
            self._alarm.disarm()
            await self._stop_slots()

    async def submit(self, request: Request[P]) -> Completion[R]:
        """Return the request's result; cancelling the awaiting task gives up this request and no other.

        Raises:
            SchedulerError: Whatever it ended with instead, see ``errors``.
        """
        if self._state is not _State.OPEN:
            raise SchedulerClosedError("the scheduler takes no requests")
        ticket = self._scheduler.submit(request, self._clock())
        future: asyncio.Future[Completion[R]] = self._loop.create_future()
        self._waiters[ticket] = future
        self._alarm.arm(request.deadline)
        # Not now but in the next turn of the loop, so that whoever arrives in this one shares the batch.
        if not self._pass_due and (self._idle or self._scheduler.any_ended):
            self._pass_due = True
            self._loop.call_soon(self._pass)
        try:
            return await future
        except asyncio.CancelledError:
            self._waiters.pop(ticket, None)
            self._guard("cancel", partial(self._cancel, ticket))
            raise

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Use other settings from now on."""
        self._scheduler.reconfigure(config)
        if self._state is _State.OPEN:
            self._pass()

    def observe_warm_up(self, batch_key: str, size: int, seconds: float) -> None:
        """Tell what a batch took while the engine was warmed up: predictions start from it (law 7)."""
        self._scheduler.observe_warm_up(batch_key, size, seconds)

    def statistics(self) -> Statistics:
        """Return an immutable snapshot."""
        return replace(self._scheduler.statistics(self._clock()), heartbeat_age=self.heartbeat_age())

    def heartbeat_age(self) -> float:
        """Return how many seconds ago the loop last got through a pass; may be called from any thread."""
        return self._clock() - self._last_beat

    @property
    def healthy(self) -> bool:
        """Whether requests are served: open, no engine call ever hung, the loop alive. Readable from any thread."""
        alive = self.heartbeat_age() <= _MISSED_BEATS * self._heartbeat_interval
        return self._state is _State.OPEN and not self._ever_hung and alive

    def _beat(self) -> None:
        """Pass at regular intervals: proves the loop alive and retries after an internal failure."""
        self._heartbeat = self._loop.call_later(self._heartbeat_interval, self._beat)
        self._pass()

    def _pass(self) -> None:
        """Do all that is due: expiry, hung engines, new batches. One pass that succeeds is a heartbeat."""
        self._pass_due = False
        expired = self._guard("expire", lambda: self._scheduler.expire(self._clock()))
        looked = self._guard("hang check", self._check_hang)
        if self._step() and expired and looked:
            self._last_beat = self._clock()

    def _step(self, finish: Callable[[], object] | None = None) -> bool:
        """Feed the idle slots, then ``finish`` a batch, then hand out outcomes and set the alarm."""
        waiting = self._scheduler.queued
        succeeded = self._guard("dispatch", self._dispatch)  # first, so that the engine does not wait for the answers
        if finish is not None:
            finish()
        self._deliver()
        if not succeeded and self._scheduler.queued < waiting and not self._pass_due:
            self._pass_due = True  # the culprits are out of the queue: no need to wait for the next heartbeat
            self._loop.call_soon(self._pass)
        if self._state is _State.CLOSING:
            self._guard("close", partial(self._check_quiet, succeeded))
        if self._state is not _State.CLOSED:
            self._guard("alarm", partial(self._set_alarm, succeeded))
        return succeeded

    def _dispatch(self) -> None:
        while self._idle and (batch := self._scheduler.choose(self._clock())) is not None:
            slot = self._idle.pop()
            self._running[batch] = slot
            slot.run(batch.batch_key, batch.payloads, partial(self._report, batch))

    def _report(
        self, batch: Batch[P, R], results: list[R] | None, error: BaseException | None, duration: float
    ) -> None:
        """Take an engine call's end: the slot is free again, even one that had been given up as hung."""
        slot = self._running.pop(batch, None) or self._hung.pop(batch)
        self._idle.append(slot)
        if error is not None:
            logger.error("the engine failed a batch of %d", len(batch), exc_info=error)
        self._step(partial(self._finish, batch, results, error, duration))

    def _finish(
        self, batch: Batch[P, R], results: list[R] | None, error: BaseException | None, duration: float
    ) -> None:
        scheduler, now = self._scheduler, self._clock()
        if results is not None:
            complete = partial(scheduler.complete, batch, results, now, inference_duration=duration)
            if self._guard("complete", complete):
                return
            error = InferenceFailedError("the scheduler failed to complete the batch")
        self._fail(batch, error or InferenceFailedError())

    def _fail(self, batch: Batch[P, R], error: BaseException) -> None:
        if self._guard("fail", partial(self._scheduler.fail, batch, error, self._clock())):
            return
        # The core itself is broken: its members' callers must still not wait for ever.
        for ticket in batch.members():
            self._settle(ticket, InferenceFailedError("the scheduler failed to end the request"))

    def _check_hang(self) -> None:
        timeout = self._scheduler.config.engine_hang_timeout
        now = self._clock()
        for batch in [batch for batch in self._running if now - batch.chosen_at >= timeout]:
            self._hung[batch] = self._running.pop(batch)
            logger.critical("the engine has not answered for %g s; a batch of %d fails", timeout, len(batch))
            self._fail(batch, EngineHungError(timeout))
            if not self._ever_hung:
                self._ever_hung = True
                # After the outcomes are out: it may well end the process.
                self._loop.call_soon(partial(self._guard, "on_hang", self._on_hang))

    def _deliver(self) -> None:
        for ticket in self._scheduler.take_ended():
            self._settle(ticket, ticket.outcome)

    def _settle(self, ticket: Ticket[P, R], outcome: Completion[R] | SchedulerError | None) -> None:
        """Law 1: hand a ticket's outcome to whoever waits for it, once."""
        future = self._waiters.pop(ticket, None)
        if future is None or future.done():
            return  # its caller has gone
        if isinstance(outcome, Completion):
            future.set_result(outcome)
        else:
            future.set_exception(outcome or InferenceFailedError("the scheduler lost the outcome"))

    def _cancel(self, ticket: Ticket[P, R]) -> None:
        self._scheduler.cancel(ticket, self._clock())
        if self._state is _State.CLOSING:
            self._step()
        else:
            self._deliver()

    def _set_alarm(self, dispatched: bool) -> None:
        moments = [self._scheduler.next_deadline()]
        timeout = self._scheduler.config.engine_hang_timeout
        moments.extend(batch.chosen_at + timeout for batch in self._running)
        if dispatched and self._idle and self._scheduler.queued:  # held back for company
            moments.append(self._scheduler.next_wakeup(self._clock()))
        earliest = min((moment for moment in moments if moment is not None), default=None)
        if earliest is not None:
            self._alarm.arm(earliest)

    def _check_quiet(self, dispatched: bool) -> None:
        if not dispatched or not (self._idle or self._running):
            self._close_queue()  # nothing will ever serve those that wait
        if not self._running and not self._scheduler.queued:
            self._quiet.set()

    def _close_queue(self) -> None:
        self._scheduler.close_queue(self._clock())
        self._deliver()

    async def _stop_slots(self) -> None:
        """Stop the threads, waiting for those that can end; a hung one ends by itself or with the process."""
        stopped = [asyncio.Event() for _ in self._idle]
        for slot, event in zip(self._idle, stopped, strict=True):
            slot.stop(event.set)
        for slot in self._hung.values():
            slot.stop(lambda: None)
        for event in stopped:
            await event.wait()

    def _guard(self, what: str, action: Callable[[], object]) -> bool:
        """Law 11: run one step so that its failure is logged and nothing else fails with it."""
        try:
            action()
        except Exception:
            logger.exception("internal failure of the scheduler in %r", what)
            return False
        return True

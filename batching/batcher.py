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
from batching.aside import Aside, Asides
from batching.config import SchedulerConfig
from batching.engine_slot import RunBatch
from batching.engine_slots import EngineSlots
from batching.errors import EngineHungError, InferenceFailedError, SchedulerClosedError
from batching.guard import guarded
from batching.heartbeat import Heartbeat
from batching.request import Completion, P, R, Request
from batching.scheduler import Scheduler
from batching.statistics import Statistics
from batching.ticket import Batch, Ticket
from batching.waiters import Waiters

logger = logging.getLogger(__name__)


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


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

    Attributes:
        has_hung: Whether an engine call ever hung.
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
        self._heartbeat = Heartbeat(clock, heartbeat_interval)
        self._waiters: Waiters[P, R] = Waiters()
        self._asides: Asides[P, R] = Asides(clock, self._pass_soon)
        self.has_hung = False
        self._state = _State.NEW
        self._pass_due = False
        self._quiet = asyncio.Event()  # set while closing, once nothing is left that could still end

    async def start(self) -> None:
        """Start the engine threads and take requests. A batcher starts once."""
        if self._state is not _State.NEW:
            raise SchedulerClosedError("a batcher starts once")
        self._state = _State.OPEN
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._clock, self._pass)
        self._slots: EngineSlots[P, R] = EngineSlots(
            self._run_batch, count=self._slot_count, clock=self._clock, bind=self._bind, report=self._report
        )
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
        self._asides.close()
        if not drain:
            guarded("close", self._close_queue)
        self._pass()
        await self._quiet.wait()
        if self._state is _State.CLOSING:  # and not closed by another call meanwhile
            self._state = _State.CLOSED
            self._next_beat.cancel()
            self._alarm.disarm()
            await self._slots.stop()

    async def submit(self, request: Request[P]) -> Completion[R]:
        """Return the request's result; cancelling the awaiting task gives up this request and no other.

        Raises:
            SchedulerError: Whatever it ended with instead, see ``errors``.
        """
        if self._state is not _State.OPEN:
            raise SchedulerClosedError("the scheduler takes no requests")
        ticket = self._scheduler.submit(request, self._clock())
        future = self._waiters.expect(ticket, self._loop)
        self._alarm.arm(request.deadline)
        if self._slots.any_idle or self._scheduler.any_ended:
            self._pass_soon()
        try:
            return await future
        except asyncio.CancelledError:
            self._waiters.forget(ticket)
            guarded("cancel", partial(self._cancel, ticket))
            raise

    async def run_aside(self, batch_key: str, payload: P, *, patience: float) -> Completion[R]:
        """Return the result of a payload that is no request, from an idle slot while nothing waits; see ``aside``.

        Raises:
            NoTurnError: There was no such moment for ``patience`` seconds.
            SchedulerError: The engine failed or hung, or the scheduler takes nothing.
        """
        if self._state is not _State.OPEN:
            raise SchedulerClosedError("the scheduler takes nothing")
        return await self._asides.run(batch_key, payload, patience=patience)

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
        idle, now = self._slots.idle_with_queue if hasattr(self, "_slots") else 0.0, self._clock()
        return replace(self._scheduler.statistics(now), idle_with_queue=idle, heartbeat_age=self.heartbeat_age())

    def heartbeat_age(self) -> float:
        """Return how many seconds ago the loop last got through a pass; may be called from any thread."""
        return self._heartbeat.age()

    @property
    def healthy(self) -> bool:
        """Whether requests are served: open, no engine call ever hung, the loop alive. Readable from any thread."""
        return self._state is _State.OPEN and not self.has_hung and self.alive

    @property
    def alive(self) -> bool:
        """Whether the loop gets through its passes."""
        return self._heartbeat.alive

    def _beat(self) -> None:
        """Pass at regular intervals: proves the loop alive and retries after an internal failure."""
        self._next_beat = self._loop.call_later(self._heartbeat.interval, self._beat)
        self._pass()

    def _pass_soon(self) -> None:
        """Pass in the next turn of the loop, so that whoever arrives in this one shares the batch."""
        if not self._pass_due:
            self._pass_due = True
            self._loop.call_soon(self._pass)

    def _pass(self) -> None:
        """Do all that is due: expiry, hung engines, new batches. One pass that succeeds is a heartbeat."""
        self._pass_due = False
        expired = guarded("expire", lambda: self._scheduler.expire(self._clock()))
        looked = guarded("hang check", self._check_hang)
        if self._step() and expired and looked:
            self._heartbeat.beat()

    def _step(self, finish: Callable[[], object] | None = None) -> bool:
        """Feed the idle slots, then ``finish`` a batch, then hand out outcomes and set the alarm."""
        waiting = self._scheduler.queued
        succeeded = guarded("dispatch", self._dispatch)  # first, so that the engine does not wait for the answers
        if finish is not None:
            finish()
        self._deliver()
        if not succeeded and self._scheduler.queued < waiting:
            self._pass_soon()  # the culprits are out of the queue: no need to wait for the next heartbeat
        if self._state is _State.CLOSING:
            guarded("close", partial(self._check_quiet, succeeded))
        if self._state is not _State.CLOSED:
            guarded("alarm", partial(self._set_alarm, succeeded))
        return succeeded

    def _dispatch(self) -> None:
        while self._slots.any_idle and (batch := self._next()) is not None:
            self._slots.run(batch)

    def _next(self) -> Batch[P, R] | None:
        now = self._clock()
        batch = self._scheduler.choose(now)
        return self._asides.begin(now) if batch is None and not self._scheduler.queued else batch

    def _report(
        self, batch: Batch[P, R], results: list[R] | None, error: BaseException | None, duration: float
    ) -> None:
        """Take an engine call's end; its slot is free again."""
        if error is not None:
            logger.error("the engine failed a batch of %d", len(batch), exc_info=error)
        self._step(partial(self._finish, batch, results, error, duration))

    def _finish(
        self, batch: Batch[P, R], results: list[R] | None, error: BaseException | None, duration: float
    ) -> None:
        core, now = self._core(batch), self._clock()
        if results is not None:
            if guarded("complete", partial(core.complete, batch, results, now, inference_duration=duration)):
                return
            error = InferenceFailedError("the scheduler failed to complete the batch")
        self._fail(batch, error or InferenceFailedError())

    def _core(self, batch: Batch[P, R]) -> Scheduler[P, R] | Asides[P, R]:
        """Return who chose a batch and is told how it ended."""
        return self._asides if isinstance(batch, Aside) else self._scheduler

    def _fail(self, batch: Batch[P, R], error: BaseException) -> None:
        if guarded("fail", partial(self._core(batch).fail, batch, error, self._clock())):
            return
        # The core itself is broken: its members' callers must still not wait for ever.
        for ticket in batch.members():
            self._waiters.settle(ticket, InferenceFailedError("the scheduler failed to end the request"))

    def _check_hang(self) -> None:
        timeout = self._scheduler.config.engine_hang_timeout
        for batch in self._slots.give_up(self._clock(), timeout):
            logger.critical("the engine has not answered for %g s; a batch of %d fails", timeout, len(batch))
            self._fail(batch, EngineHungError(timeout))
            if not self.has_hung:
                self.has_hung = True
                # After the outcomes are out: it may well end the process.
                self._loop.call_soon(partial(guarded, "on_hang", self._on_hang))

    def _deliver(self) -> None:
        for ticket in self._scheduler.take_ended():
            self._waiters.settle(ticket, ticket.outcome)

    def _cancel(self, ticket: Ticket[P, R]) -> None:
        self._scheduler.cancel(ticket, self._clock())
        if self._state is _State.CLOSING:
            self._step()
        else:
            self._deliver()

    def _set_alarm(self, dispatched: bool) -> None:
        moments = [self._scheduler.next_deadline()]
        timeout = self._scheduler.config.engine_hang_timeout
        moments.extend(batch.chosen_at + timeout for batch in self._slots.running)
        if dispatched and self._slots.any_idle and self._scheduler.queued:  # held back for company
            moments.append(self._scheduler.next_wakeup(self._clock()))
        earliest = min((moment for moment in moments if moment is not None), default=None)
        if earliest is not None:
            self._alarm.arm(earliest)

    def _check_quiet(self, dispatched: bool) -> None:
        if not dispatched or not (self._slots.any_idle or self._slots.running):
            self._close_queue()  # nothing will ever serve those that wait
        if not self._slots.running and not self._scheduler.queued:
            self._quiet.set()

    def _close_queue(self) -> None:
        self._scheduler.close_queue(self._clock())
        self._deliver()

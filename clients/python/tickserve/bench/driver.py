"""The loops that send: closed, one request after another a caller, and open, on a schedule that no answer can delay.

Latency counts from when a request was due. In an open loop that is its place in the schedule, so that a service, or
this generator, that falls behind cannot hide it (no coordinated omission). A closed loop's next request is due when the
answer before it is there: what it measures is one caller's wait, not what strangers would see.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, Protocol

from tickserve.bench.arrivals import even_arrivals, poisson_arrivals
from tickserve.bench.mix import classes
from tickserve.bench.outcome import Ending, Outcome, of_answer, of_error
from tickserve.bench.plan import BenchPlan
from tickserve.errors import TickserveError
from tickserve.priority import Priority

__all__ = ("Ask", "Driver", "Run", "Sample")

# What a caller of a closed loop waits after an error that names no delay of its own, so that it is not a busy loop.
_RETRY_DELAY = 0.05
_LONGEST_WAIT = 1.0
# What is left to a request that is due after its own deadline: it is sent, but cannot be answered in time.
_LEAST_TIMEOUT = 0.001


class Sample(NamedTuple):
    """One request; instants on the driver's clock, in seconds."""

    priority: Priority
    due: float
    sent: float
    ended: float
    outcome: Outcome
    reason: str


class Run(NamedTuple):
    """What came of a run."""

    samples: list[Sample]
    elapsed: float
    """Seconds from its beginning to the last answer."""


class Ask(Protocol):
    """Sends one request."""

    def __call__(self, number: int, priority: Priority, timeout: float) -> Awaitable[str]:
        """Returns what is wrong with the answer, empty where nothing is; raises TickserveError where there is none."""


class Driver:
    """One run of a plan.

    Args:
        plan: What to send.
        ask: Sends one request.
        clock: Gives monotonic seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        plan: BenchPlan,
        ask: Ask,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.samples: list[Sample] = []
        """What ended so far."""
        self._plan = plan
        self._ask = ask
        self._clock = clock
        self._sleep = sleep
        source = random.Random(plan.seed)
        self._arrivals_source = random.Random(source.random())
        self._numbers = itertools.count()
        self._classes = classes(plan.mix, source)

    async def run(self) -> Run:
        """Sends everything and returns when the last request has ended.

        Raises:
            Exception: `ask` failed otherwise than with a TickserveError.
        """
        for _ in range(self._plan.warm_up):
            await self._send(self._clock())
        self.samples.clear()
        started = self._clock()
        await (self._closed_loop(started) if self._plan.rate is None else self._open_loop(started, self._plan.rate))
        ended = max((sample.ended for sample in self.samples), default=started)
        return Run(self.samples, ended - started)

    async def _closed_loop(self, started: float) -> None:
        turns: Iterator[int] = iter(range(self._plan.requests)) if self._plan.requests else itertools.count()
        end = started + (self._plan.duration if self._plan.duration is not None else float("inf"))

        async def call() -> None:
            while self._clock() < end and next(turns, None) is not None:
                if delay := await self._send(self._clock()):
                    await self._sleep(delay)

        async with asyncio.TaskGroup() as callers:
            for _ in range(self._plan.concurrency or 1):
                callers.create_task(call())

    async def _open_loop(self, started: float, rate: float) -> None:
        plan = self._plan
        arrivals = poisson_arrivals if plan.arrivals == "poisson" else even_arrivals
        length = plan.duration if plan.duration is not None else float("inf")
        instants = itertools.islice(arrivals(rate, length, self._arrivals_source), plan.requests)
        async with asyncio.TaskGroup() as sends:
            for instant in instants:
                due = started + instant
                if (pause := due - self._clock()) > 0:
                    await self._sleep(pause)
                # Each ends by its own timeout at the latest, which bounds how many there are.
                sends.create_task(self._send(due))

    async def _send(self, due: float) -> float:
        """Sends one request and keeps its sample; returns what its caller should wait before the next, in seconds."""
        sent = self._clock()
        priority = next(self._classes)
        wait = 0.0
        try:
            fault = await self._ask(next(self._numbers), priority, max(_LEAST_TIMEOUT, due + self._plan.timeout - sent))
        except TickserveError as error:
            ended = self._clock()
            ending = of_error(code=error.code.name, reason=error.reason)
            wait = _RETRY_DELAY if error.retry_delay is None else min(error.retry_delay, _LONGEST_WAIT)
        else:
            ended = self._clock()
            ending = of_answer(latency=ended - due, deadline=self._plan.timeout, fault=fault)
        self.samples.append(_sample(priority, due, sent, ended, ending))
        return wait


def _sample(priority: Priority, due: float, sent: float, ended: float, ending: Ending) -> Sample:
    return Sample(priority, due, sent, ended, ending.outcome, ending.reason)

"""Owns who waits for which ticket. Must not know how a ticket ends or when."""

import asyncio
from typing import Generic

from batching.errors import InferenceFailedError, SchedulerError
from batching.request import Completion, P, R
from batching.ticket import Ticket


class Waiters(Generic[P, R]):
    """The futures of all that are awaited; law 1: each hears one outcome, once."""

    def __init__(self) -> None:
        self._futures: dict[Ticket[P, R], asyncio.Future[Completion[R]]] = {}

    def expect(self, ticket: Ticket[P, R], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Completion[R]]:
        """Return the future of a ticket's outcome."""
        future = self._futures[ticket] = loop.create_future()
        return future

    def forget(self, ticket: Ticket[P, R]) -> None:
        """Tell nobody of a ticket, whose caller has gone."""
        self._futures.pop(ticket, None)

    def settle(self, ticket: Ticket[P, R], outcome: Completion[R] | SchedulerError | None) -> None:
        """Hand a ticket's outcome to whoever waits for it; None is an outcome that was lost."""
        future = self._futures.pop(ticket, None)
        if future is None or future.done():
            return  # its caller has gone
        if isinstance(outcome, Completion):
            future.set_result(outcome)
        else:
            future.set_exception(outcome or InferenceFailedError("the scheduler lost the outcome"))

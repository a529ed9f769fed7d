"""The halts that one replica obeys: what is asked on every prediction, and the end of those that are under way.

Sync core; what keeps it up to date is `halt_keeper`'s. Owns three laws: nothing that is halted is begun; what is under
way when a halt comes in force ends with HALTED at once; and what was asked for before a resume stays refused after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from server.refusal import Refusal
from server.security.halt import Halt, HaltScope, Subject, unknown_halts
from server.security.halt_set import HaltSet

# Seconds for which an ended halt is remembered: longer than any request may wait.
_REMEMBERED = 600.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HaltChange:
    """What became of the halts in force.

    Attributes:
        begun: Those that came in force.
        ended: Those that are in force no more.
    """

    begun: tuple[Halt, ...] = ()
    ended: tuple[Halt, ...] = ()


class _Held(Protocol):
    """The part of an `asyncio.Timeout` that ends what it holds."""

    def reschedule(self, when: float | None) -> None: ...


class _Open:
    """A prediction that is under way."""

    __slots__ = ("halt", "limit", "subject")

    def __init__(self, subject: Subject, limit: _Held) -> None:
        self.subject = subject
        self.limit = limit
        self.halt: Halt | None = None


class Halts:
    """What is halted, as far as this replica knows. Event loop only.

    Args:
        clock: Monotonic seconds, the clock that receipts are measured on.

    Attributes:
        current: In force.
        is_closed: Whether every prediction is refused because nobody knows what is halted.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.current = HaltSet()
        self.is_closed = False
        self._open: set[_Open] = set()
        # By scope: when it was resumed, monotonic seconds, and what it was.
        self._ended: dict[HaltScope, tuple[float, Halt]] = {}
        self._listeners: list[Callable[[HaltChange], None]] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing at all is halted."""
        return not self.current.halts and not self.is_closed

    def on_change(self, listener: Callable[[HaltChange], None]) -> None:
        """Calls somebody after each change; must not raise."""
        self._listeners.append(listener)

    def refusal(self, subject: Subject, *, received_at: float | None = None) -> Refusal | None:
        """Returns what a prediction is refused with; None: it may go on.

        Args:
            subject: What it is about.
            received_at: When it was asked for, monotonic seconds; None: that does not matter.
        """
        if self.is_closed:
            return unknown_halts()
        halt = self.current.find(subject)
        if halt is None and received_at is not None and self._ended:
            # Whoever resumes means what is asked from now on, and not what has waited since before.
            ended = (self._ended.get(scope) for scope in subject.scopes())
            halt = next((halt for at, halt in filter(None, ended) if received_at < at), None)
        return None if halt is None else halt.refusal()

    def check(self, subject: Subject, *, received_at: float | None = None) -> None:
        """Lets a prediction pass that is not halted.

        Raises:
            Refusal: HALTED.
        """
        refusal = self.refusal(subject, received_at=received_at)
        if refusal is not None:
            raise refusal

    @contextlib.asynccontextmanager
    async def ending(self, subject: Subject) -> AsyncIterator[None]:
        """Runs a prediction, and ends it when a halt that stops it comes in force.

        Raises:
            Refusal: HALTED.
        """
        halted: Halt | None = None
        try:
            async with asyncio.timeout(None) as limit:
                entry = _Open(subject, limit)
                self._open.add(entry)
                try:
                    yield
                finally:
                    self._open.discard(entry)
                    halted = entry.halt
        except TimeoutError:
            if halted is None:
                raise
            raise halted.refusal() from None

    def apply(self, halts: HaltSet) -> HaltChange:
        """Puts other halts in force, ends what they stop, and returns what has changed."""
        former, self.current = self.current.halts, halts
        change = HaltChange(
            begun=tuple(halt for halt in halts if halt.scope not in former),
            ended=tuple(halt for scope, halt in former.items() if scope not in halts.halts),
        )
        if not change.begun and not change.ended:
            return change
        now = self._clock()
        self._ended = {scope: ended for scope, ended in self._ended.items() if now - ended[0] < _REMEMBERED}
        self._ended |= {halt.scope: (now, halt) for halt in change.ended}
        if change.begun:
            self._end_what_is_halted()
        for listener in self._listeners:
            listener(change)
        return change

    def _end_what_is_halted(self) -> None:
        for entry in list(self._open):
            if entry.halt is None:
                entry.halt = self.current.find(entry.subject)
                if entry.halt is not None:
                    entry.limit.reschedule(asyncio.get_running_loop().time())

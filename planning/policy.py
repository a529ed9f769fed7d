"""Owns what the simulator asks of a policy. Must not know any in particular."""

from collections.abc import Callable, Sequence
from typing import Protocol

from planning.ledger import Ledger


class Policy(Protocol):
    """Decides which rows of the ledger run next, and writes down how each ends."""

    def submit(self, row: int, now: float) -> None:
        """Take a request in, or end it."""

    def choose(self, now: float) -> Sequence[int]:
        """Return the next batch, or nothing. The engine is idle."""

    def complete(self, now: float, duration: float) -> None:
        """End the members of the batch that was chosen last; the engine took ``duration``."""

    def cancel(self, row: int, now: float) -> None:
        """Take note that the client gave a request up; it may have ended."""

    def next_event(self, now: float, *, idle: bool) -> float:
        """Return when ``advance``, or ``choose`` if the engine is idle, next has something to do; ``inf`` for never."""

    def advance(self, now: float) -> None:
        """Do what is due by ``now``."""

    def close(self, now: float) -> None:
        """End what waits although nothing more will happen: a policy that forgets requests is told of here."""


PolicyFactory = Callable[[Ledger], Policy]

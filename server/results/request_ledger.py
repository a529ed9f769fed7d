"""Which answers were given to which request ids, and which ids are being answered now.

Owns who may run under an id, who must wait, and who gets an answer again. A pure state machine: no clock, no tasks, no
messages; `idempotency` waits for it. What an id stands for is its payload's digest:

- At most one execution runs for an id, and so for an id with its payload.
- The same id with another payload is refused as long as somebody runs or waits under it, or its answer is remembered.
- An answer is remembered for a time, and in bounds; a failure is not remembered, and whoever waited runs next.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from typing import NamedTuple

_ENTRY_BYTES = 460
"""What a remembered answer takes beside its own bytes: id, caller, digest, table; measured, and held to by a test."""


class RequestKey(NamedTuple):
    """Whose request, and which.

    Attributes:
        caller: Identity of the caller.
        request_id: As the caller gave it.
    """

    caller: str
    request_id: str


class Turn(enum.Enum):
    """What a claim leads to when there is no answer to give again."""

    RUN = enum.auto()
    """Compute it, then say `complete` or `fail`."""
    WAIT = enum.auto()
    """Another one computes it: say `leave` when it has ended, or when waiting has, then claim again or give up."""
    REUSED = enum.auto()
    """The id stands for another payload."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatistics:
    """What is remembered now, and what happened since the start.

    Attributes:
        entries: Answers remembered now.
        size_bytes: What they take.
        replays: Claims that got a remembered answer.
        reused: Claims that were refused because of another payload.
    """

    entries: int
    size_bytes: int
    replays: int
    reused: int


class _Remembered(NamedTuple):
    payload: bytes
    answer: bytes
    completed_at: float


class _Active:
    """An id under which somebody runs or waits."""

    __slots__ = ("payload", "running", "waiting")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.running = False
        self.waiting = 0


class RequestLedger:
    """The ids of one replica. Its limits may be changed at any time and hold from the next use.

    Args:
        window: Seconds for which an answer is remembered.
        max_entries: Most answers remembered.
        max_bytes: Memory for them.
    """

    def __init__(self, *, window: float, max_entries: int, max_bytes: int) -> None:
        self.window = window
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._active: dict[RequestKey, _Active] = {}
        # By completion: the front is the oldest.
        self._remembered: OrderedDict[RequestKey, _Remembered] = OrderedDict()
        self._size = self._replays = self._reused = 0

    def claim(self, key: RequestKey, payload: bytes, now: float) -> bytes | Turn:
        """Returns the remembered answer to a request, or what to do instead.

        Args:
            key: Whose request, and which.
            payload: Digest of all that decides the answer.
            now: Monotonic seconds.
        """
        self._forget_old(now)
        remembered = self._remembered.get(key)
        if remembered is not None:
            if remembered.payload == payload:
                self._replays += 1
                return remembered.answer
            self._reused += 1
            return Turn.REUSED
        active = self._active.setdefault(key, _Active(payload))
        if active.payload != payload:
            self._reused += 1
            return Turn.REUSED
        if active.running:
            active.waiting += 1
            return Turn.WAIT
        active.running = True
        return Turn.RUN

    def complete(self, key: RequestKey, answer: bytes, now: float) -> None:
        """Ends an execution with its answer, which is remembered from now on."""
        active = self._active[key]
        active.running = False
        self._remembered[key] = _Remembered(active.payload, answer, now)
        self._size += _size(key, self._remembered[key])
        self._release(key)
        self._forget_old(now)

    def fail(self, key: RequestKey) -> None:
        """Ends an execution without an answer: nothing is remembered, the next claim runs."""
        self._active[key].running = False
        self._release(key)

    def leave(self, key: RequestKey) -> None:
        """Ends one waiting."""
        self._active[key].waiting -= 1
        self._release(key)

    def statistics(self) -> LedgerStatistics:
        """Returns the figures now."""
        return LedgerStatistics(
            entries=len(self._remembered), size_bytes=self._size, replays=self._replays, reused=self._reused
        )

    def _release(self, key: RequestKey) -> None:
        active = self._active[key]
        if not active.running and not active.waiting:
            del self._active[key]

    def _forget_old(self, now: float) -> None:
        while self._remembered:
            key, oldest = next(iter(self._remembered.items()))
            crowded = len(self._remembered) > self.max_entries or self._size > self.max_bytes
            if not crowded and now - oldest.completed_at < self.window:
                return
            del self._remembered[key]
            self._size -= _size(key, oldest)


def _size(key: RequestKey, remembered: _Remembered) -> int:
    return len(key.caller) + len(key.request_id) + len(remembered.answer) + _ENTRY_BYTES

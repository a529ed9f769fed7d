"""What became of one request, as its caller saw it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class End(enum.StrEnum):
    """How a request ended.

    ANSWERED: a prediction came; whether it is right is the oracle's to say. REFUSED: an error with a reason of
    tickserve's. SILENT: nothing that names a reason: the caller's own clock, a broken connection, a proxy's page.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"


class Record(NamedTuple):
    """One unary call, or one tick of a stream. Instants are seconds of the machine's monotonic clock.

    Attributes:
        kind: The call's class, or `tick`.
        key: Says which window was asked about; see `windows`.
        sent_at: When it was due to be sent.
        deadline: Until when an answer is of use; 0 for ticks, which wait out a break.
        ended_at: When its caller knew.
        end: How.
        reason: Of a refusal, the service's; of silence, gRPC's code.
        values: The answer's 19 figures in the oracle's order; empty without one.
        digest: SHA-256 of the window that the answer says it is about.
        replica: Who answered.
    """

    kind: str
    key: str
    sent_at: float
    deadline: float
    ended_at: float
    end: End
    reason: str = ""
    values: tuple[float, ...] = ()
    digest: str = ""
    replica: str = ""

    @property
    def lateness(self) -> float:
        """Seconds past its deadline at which it ended, at least 0."""
        return max(0.0, self.ended_at - self.deadline) if self.deadline else 0.0

    @property
    def in_time(self) -> bool:
        """Whether it was answered before its deadline."""
        return self.end is End.ANSWERED and self.lateness == 0.0


def to_rows(records: Iterable[Record]) -> list[list[Any]]:
    """Returns records as JSON carries them between processes."""
    return [list(record) for record in records]


def from_rows(rows: Iterable[list[Any]]) -> Iterator[Record]:
    """Reads what `to_rows` gave."""
    for kind, key, sent_at, deadline, ended_at, end, reason, values, digest, replica in rows:
        yield Record(kind, key, sent_at, deadline, ended_at, End(end), reason, tuple(values), digest, replica)

"""Owns which waiting requests share the next batch, and when it may go. Pure: must not know queues, clocks or slots."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batching.ticket import Ticket

#: The part of a request's time from arrival to deadline that it may be held back for company: the rest is for running.
_MAX_HELD_PART = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """Decides from what it is shown only.

    Law 3, work-conserving: with ``max_queue_delay`` 0 whatever waits may go at once. Otherwise a batch that is not full
    may be held until its oldest request has waited that long, but no member for more than half the time it has from
    arrival to deadline, so that no request expires because it was held back.
    """

    max_batch_size: int
    max_queue_delay: float

    def release_at(self, waiting: Sequence[Ticket[Any, Any]]) -> float:
        """Return from when on the requests that wait for one key may go; ``-inf`` when nothing holds them back."""
        if self.max_queue_delay <= 0.0 or len(waiting) >= self.max_batch_size:
            return -math.inf
        delay = self.max_queue_delay
        return min(t.enqueued_at + min(delay, _MAX_HELD_PART * (t.deadline - t.enqueued_at)) for t in waiting)

    def fill(self, candidates: Iterable[Ticket[Any, Any]]) -> list[Ticket[Any, Any]]:
        """Return the members of the next batch, drawn lazily from candidates of one key that come in order."""
        return list(islice(candidates, self.max_batch_size))

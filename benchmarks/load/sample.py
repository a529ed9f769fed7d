"""One request's record, kept for every request of a run."""

from __future__ import annotations

from typing import NamedTuple

from tickserve.bench.outcome import Outcome


class Sample(NamedTuple):
    """One request; instants on the monotonic clock.

    Attributes:
        scheduled: When it was due; latency counts from here.
        sent: When it was sent.
        ended: When its answer, error or cancellation was seen.
        outcome: What became of it.
        reason: More about it; may be empty.
        batch_size: Members of its batch, as the answer says; 0 where it does not.
        inference: Seconds the engine took, as the answer says.
        served: Seconds from receipt to the engine's end, as the answer says; 0 where it does not.
    """

    scheduled: float
    sent: float
    ended: float
    outcome: Outcome
    reason: str = ""
    batch_size: int = 0
    inference: float = 0.0
    served: float = 0.0

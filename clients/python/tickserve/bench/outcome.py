"""What became of one request. Pure: the driver tells what it saw, this says what it counts as."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

__all__ = ("Ending", "Outcome", "of_answer", "of_error")


class Outcome(StrEnum):
    """The end of a request, as its caller sees it."""

    IN_TIME = "in_time"
    """Answered, rightly, within the deadline from the scheduled send."""
    LATE = "late"
    """Answered, rightly, after it."""
    REFUSED = "refused"
    """Turned away with a reason before any work: overload, draining, a bad argument."""
    EXPIRED = "expired"
    """Ended by the server because the deadline passed."""
    UNANSWERED = "unanswered"
    """No answer: the client's own limit passed, or the connection broke."""
    FAILED = "failed"
    """The server's error, such as INFERENCE_FAILED."""
    WRONG = "wrong"
    """An answer that does not fit its question."""
    CANCELLED = "cancelled"
    """Withdrawn by the client on purpose; not counted as sent."""


_REFUSING = frozenset({"RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ALREADY_EXISTS"})


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended: its outcome, and the reason where there is more to say."""

    outcome: Outcome
    reason: str = ""


def of_answer(*, latency: float, deadline: float, fault: str) -> Ending:
    """Returns the ending of an answered request.

    Args:
        latency: Seconds from the scheduled send to the answer.
        deadline: Seconds allowed.
        fault: What is wrong with the answer; empty: nothing.
    """
    if fault:
        return Ending(Outcome.WRONG, fault)
    return Ending(Outcome.IN_TIME if latency <= deadline else Outcome.LATE)


def of_error(*, code: str, reason: str) -> Ending:
    """Returns the ending of a request that got an error.

    Args:
        code: Name of the gRPC status code.
        reason: Reason of tickserve's ErrorInfo; empty where the status has none.
    """
    label = reason or code
    if code == "DEADLINE_EXCEEDED":
        # Typed: the server gave it up. Bare: nobody answered before the RPC's own deadline.
        return Ending(Outcome.EXPIRED if reason else Outcome.UNANSWERED, label)
    if code in _REFUSING or (code == "UNAVAILABLE" and reason):
        return Ending(Outcome.REFUSED, label)
    if code in ("UNAVAILABLE", "CANCELLED"):
        return Ending(Outcome.UNANSWERED, label)
    return Ending(Outcome.FAILED, label)

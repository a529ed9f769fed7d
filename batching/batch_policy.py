"""Owns which waiting requests share the next batch, and when it may go. Pure: must not know queues, clocks or slots."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from batching.config import SchedulerConfig
from batching.cost_curve import CostCurve
from batching.ticket import Ticket

AnyTicket = Ticket[Any, Any]

#: The part of a request's time from arrival to deadline that it may be held back for company: the rest is for running.
_MAX_HELD_PART = 0.5
#: How many candidates that do not fit may be skipped, at most, to find one that does.
LOOK_AHEAD = 16
#: How much slower than at warm-up the machine is taken to be, at most, when ``max_batch_duration`` bounds a batch. What
#: makes every batch slower than that, one of a single member, too, is waiting: for a processor, for the interpreter's
#: lock, for the event loop. A smaller batch waits as long as a larger one, and there are more of them.
MAX_SLOWDOWN = 2.0
#: The part of ``max_batch_duration`` that a batch of several shadows may be predicted to take.
SHADOW_PART = 0.25


@dataclass(slots=True)
class Selection:
    """What became of the candidates that were looked at; those in neither list stay where they were.

    Attributes:
        members: The next batch.
        hopeless: Those that cannot end in time even alone.
    """

    members: list[AnyTicket] = field(default_factory=list)
    hopeless: list[AnyTicket] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """Decides from what it is shown only.

    Law 3, work-conserving: with ``max_queue_delay`` 0 whatever waits may go at once. Otherwise a batch that is not full
    may be held until its oldest request has waited that long, but no member for more than half the time it has from
    arrival to deadline, so that no request expires because it was held back.

    Law 6, bounded blocking: candidates join in order while the median of the batch's duration is within
    ``max_batch_duration``, which bounds how long the next urgent arrival waits, and within the slack of every member. A
    candidate that would not be in time in a batch of that size is skipped, at most ``LOOK_AHEAD`` of them. The first
    that can be in time at all is always taken, so a batch has at least one member while a feasible request is a
    candidate. Feasible means that the median of a batch of one is within the slack; a *probe* (law 8) always is.

    Why the median and not the upper quantile: the quantile's margin was taken at admission, and is there to be used up
    by what did not go as predicted. To demand it again here would shrink batches whenever something slips, make those
    behind late in turn, and on a machine that suddenly slowed starve everybody whose slack is short.

    On a machine that slows down batches shrink, but no further than to what would be within ``max_batch_duration`` at
    ``MAX_SLOWDOWN``: without that bound one crowded second ended in batches of one, and these kept the machine crowded,
    at a third of what it answered with batches of nine (measured with benchmarks/streams, overload).

    With ``adaptive`` off, or for a key that was never measured, only ``max_batch_size`` bounds a batch.

    Shadows come in batches of their own, when nothing else waits (see ``request_queue``). Whoever arrives then would
    have found the engine free, so these batches are kept short: the median of more than one is within ``SHADOW_PART``
    of ``max_batch_duration``, and one alone runs only if its median is within ``max_batch_duration``. So shadows never
    block anybody for longer than law 6 lets others do, however slow the version is that they try out. If even one is
    too long, none is feasible, and all end at once. Where predictions say nothing, they come one at a time.
    """

    max_batch_size: int
    max_queue_delay: float
    max_batch_duration: float = math.inf
    completion_margin: float = 0.0
    adaptive: bool = True

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self:
        """Return the policy that the settings ask for."""
        return cls(
            max_batch_size=config.max_batch_size,
            max_queue_delay=config.max_queue_delay,
            max_batch_duration=config.max_batch_duration,
            completion_margin=config.completion_margin,
            adaptive=config.adaptive,
        )

    def limit(self, curve: CostCurve) -> int:
        """Return the most members a batch of that cost may have now."""
        if not self.adaptive:
            return self.max_batch_size
        return curve.limit(self.max_batch_duration, self.max_batch_size, MAX_SLOWDOWN)

    def shadow_limit(self, curve: CostCurve) -> int:
        """Return the most shadows a batch of that cost may have now; 0 if even one would block others for too long."""
        if not self.adaptive or not curve.known:
            return 1
        if curve.median(1) > self.max_batch_duration:
            return 0
        return curve.limit(SHADOW_PART * self.max_batch_duration, self.max_batch_size)

    def release_at(self, waiting: Sequence[AnyTicket], limit: int) -> float:
        """Return from when on the requests that wait for one key may go; ``-inf`` when nothing holds them back."""
        if self.max_queue_delay <= 0.0 or len(waiting) >= limit:
            return -math.inf
        delay = self.max_queue_delay
        return min(t.enqueued_at + min(delay, _MAX_HELD_PART * (t.deadline - t.enqueued_at)) for t in waiting)

    def fill(self, candidates: Iterable[AnyTicket], curve: CostCurve, now: float, shadows: bool = False) -> Selection:
        """Return the next batch, drawn lazily from candidates of one key, all shadows or none, that come in order."""
        if not self.adaptive or not curve.known:
            return Selection(list(islice(candidates, 1 if shadows else self.max_batch_size)))
        limit = self.shadow_limit(curve) if shadows else self.limit(curve)
        if not limit:
            return Selection(hopeless=list(candidates))
        selection = Selection()
        members = selection.members
        shortest = curve.median(1)
        grown = curve.median(1)  # of the batch with one member more
        least_slack = math.inf
        skipped = 0
        for ticket in candidates:
            slack = ticket.deadline - now - self.completion_margin
            if shortest > slack and not ticket.probe:
                selection.hopeless.append(ticket)
                continue
            if members and grown > slack:
                skipped += 1
                if skipped >= LOOK_AHEAD:
                    break
                continue
            members.append(ticket)
            least_slack = min(least_slack, slack)
            grown = curve.median(len(members) + 1)
            if len(members) >= limit or grown > least_slack:
                break
        return selection

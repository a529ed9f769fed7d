"""Owns whether a request may come in, by prediction. Pure: must not know limits, clocks, tickets or who asks.

Law 8, admission. With the median m and the upper quantile q of batch durations, B the current batch limit, and
``work = m(B) / B`` what a place costs in a full batch, the request at place p of the order (0 is next) is predicted to
end at

    ``now + rest of the running batch + q(min(B, n)) + (0 if p < B else p * work)``,

where n is how many of its own and higher classes wait, itself included: one quantile for the batch it is in, which
later arrivals may fill up, and medians for what goes before. It is careful by less than one batch, from the second on:
which keeps a full batch waiting all the same, so nothing idles for it. If the first in order has too little slack for
such a batch, that batch will shrink to it (law 6) and leave the newcomer for the next one, so the time until that
deadline is added. Lower classes count as nothing, since they are
batched with it only as far as its slack allows (law 6). A newcomer is refused if it would end after its deadline, or if
with it one already admitted of its own class and round would, that would not without it: each behind it moves one place
back. (Higher classes are before it. A later *round* holds what callers sent beyond their share: that was admitted on
room which others left, and is not protected from them, else a flood would cut their share after all; law 4.)

The door cannot be locked: when nothing waits and a slot is idle a request is admitted whatever the model says, marked
as a probe, and runs unless it has expired; its duration is learned, and half a median window of those corrects any
estimate. Where other keys never let that happen, one request is admitted as a probe for every ``PROBE_INTERVAL`` in
which its key was not measured, none of it waiting or running. Nothing measured for a key means nothing refused.

For shadows the door is no door but a favour: they are always tested, never probes, and refused also if one alone would
block others for too long (see ``batch_policy``). An estimate that is wrong about them is left to decay to what was
measured before service. While they wait they cost the others nothing, so no other test is needed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from batching.cost_curve import CostCurve
from batching.deadline_index import DeadlineIndex

#: The least delay worth telling a refused caller, in seconds.
LEAST_RETRY_DELAY = 0.001
#: Taken for a batch's duration where nothing was measured, for retry delays only, in seconds.
_FIRST_DURATION = 0.05


@dataclass(slots=True, kw_only=True)
class Outlook:
    """What a newcomer of one class and key meets.

    Not frozen: one is made for each request, and freezing costs 2 us.

    Attributes:
        now: Monotonic seconds.
        free_in: Seconds until a slot is free.
        batch: The current batch limit B.
        higher: How many requests of higher classes wait.
        own: Those of its own class.
        earliest: The deadline of the first in order of its own and higher classes.
        other_keys: How many batches of other keys are at least needed before.
        parallel: How many batches run at once, less what promoted requests claim of it.
    """

    now: float
    free_in: float
    batch: int
    higher: int
    own: DeadlineIndex
    earliest: float = math.inf
    other_keys: int = 0
    parallel: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """Decides from what it is shown only."""

    completion_margin: float = 0.0

    def completion(self, place: int, together: int, curve: CostCurve, outlook: Outlook) -> float:
        """Return when the request at a place ends, if ``together`` of its own and higher classes wait."""
        size = min(outlook.batch, together)
        begins = self._begins(curve, outlook)
        end = begins + curve.quantile(size)
        if place and outlook.earliest < begins + curve.median(size):
            end += max(0.0, outlook.earliest - begins)  # the first batch shrinks, and leaves this one out
        return end if place < outlook.batch else end + place * _work(curve, outlook)

    def refusal(self, round_: int, deadline: float, curve: CostCurve, outlook: Outlook) -> tuple[float, float] | None:
        """Return the predicted completion and a retry delay for a newcomer that must be refused, or None."""
        own = outlook.own
        place = outlook.higher + own.ahead(round_, deadline)
        together = outlook.higher + own.size + 1
        completion = self.completion(place, together, curve, outlook)
        if completion > deadline:
            return completion, max(LEAST_RETRY_DELAY, completion - deadline)
        begins = self._begins(curve, outlook)
        start = begins + curve.quantile(min(outlook.batch, together))
        work = _work(curve, outlook)
        # Whoever is behind it in its round is due no earlier than it: often that alone settles the matter.
        if deadline < start + together * work and own.makes_late(
            round_,
            deadline,
            first=outlook.higher,
            batch=outlook.batch,
            start=start,
            start_before=begins + curve.quantile(min(outlook.batch, together - 1)),
            work=work,
        ):
            return completion, max(LEAST_RETRY_DELAY, curve.median(outlook.batch))
        return None

    def _begins(self, curve: CostCurve, outlook: Outlook) -> float:
        """Return when the first batch begins, later by the margin that is kept after it."""
        begins = outlook.now + outlook.free_in + self.completion_margin
        if outlook.other_keys:
            begins += outlook.other_keys * curve.median(1) / outlook.parallel
        return begins


def _work(curve: CostCurve, outlook: Outlook) -> float:
    return curve.median(outlook.batch) / (outlook.batch * outlook.parallel)


def remaining(curve: CostCurve, size: int, elapsed: float) -> float:
    """Return for how many seconds more a batch is predicted to run.

    One beyond the upper quantile is as likely to need as long again as it is over it: so while an engine stalls, the
    door closes, and opens when it answers.
    """
    if not curve.known:
        return 0.0
    return max(0.0, curve.median(size) - elapsed, elapsed - curve.quantile(size))


def free_in(remainders: Iterable[float], slots: int) -> float:
    """Return in how many seconds one of the slots is free."""
    ordered = sorted(remainders)
    return 0.0 if len(ordered) < slots else ordered[len(ordered) - slots]


def retry_delay(waiting: int, curve: CostCurve, batch: int) -> float:
    """Return about how long half of what waits will take: retries then meet room, not the same wall."""
    duration = curve.median(batch) if curve.known else _FIRST_DURATION
    return min(max(LEAST_RETRY_DELAY, duration * max(1.0, waiting / batch / 2)), math.inf)

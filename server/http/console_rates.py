"""How fast each replica's counters grow: from two looks at them, by the replica's own clocks.

A look that finds the same figures as the last one, for replicas tell each other only now and then, changes no rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from server.telemetry.recent_figures import RecentFigures, Tally

# Below this the first rate would rest on a few events.
_LEAST_SPAN = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A replica's counters, and its uptime in seconds when they stood so."""

    uptime: float
    batches: int
    ticks: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRates:
    """One replica's rates per second, and the looks that they rest on.

    Attributes:
        counts: The last look at its counters.
        recent: The last look at its last half minute; None where it has told none.
        batches: Engine calls; None at the first look.
        ticks: Ticks applied; likewise.
        answered: Predictions given in time, by class, where there were any; None where that is not known.
    """

    counts: Counts
    recent: RecentFigures | None = None
    batches: float | None = None
    ticks: float | None = None
    answered: Mapping[str, float] | None = None


def rates(before: ReplicaRates | None, counts: Counts, recent: RecentFigures | None) -> ReplicaRates:
    """Returns a replica's rates after another look.

    Args:
        before: What the last look gave; None at the first.
        counts: The counters now.
        recent: The last half minute now; None where it is not told.
    """
    batches = ticks = None
    if before is not None:
        passed = counts.uptime - before.counts.uptime
        if passed > 0:
            batches = max(0, counts.batches - before.counts.batches) / passed
            ticks = max(0, counts.ticks - before.counts.ticks) / passed
        elif passed == 0:
            batches, ticks = before.batches, before.ticks
    return ReplicaRates(counts=counts, recent=recent, batches=batches, ticks=ticks, answered=_answered(before, recent))


def _answered(before: ReplicaRates | None, recent: RecentFigures | None) -> Mapping[str, float] | None:
    if recent is None:
        return None
    last = before.recent if before is not None else None
    if before is not None and last is not None and last.count_id == recent.count_id:
        passed = recent.at - last.at
        if passed <= 0:
            return before.answered
        return {
            name: (tally.answered - last.totals.get(name, Tally()).answered) / passed
            for name, tally in recent.totals.items()
        }
    if recent.span < _LEAST_SPAN:
        return None
    return {name: tally.answered / recent.span for name, tally in recent.window.items()}

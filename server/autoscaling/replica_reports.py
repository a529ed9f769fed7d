"""What a replica reports and how it is read back: names and shapes of the figures on their way to the controller.

Pure. One side writes the figures of one interval, the other side reads their series; Ray Serve carries numbers by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from batching import PriorityClass
from server.autoscaling.demand import CLASSES, ReplicaFigures

ONGOING, QUEUE_TIME, ENDED, MISSED = "ongoing", "queue_time", "ended", "missed"
BUSY = "tickserve_busy"


class Point(Protocol):
    """One number and when it was taken; Ray Serve's `TimeStampedValue`."""

    timestamp: float
    value: float


def metric(kind: str, priority: PriorityClass) -> str:
    """Returns the name of a class's figure, as in `tickserve_ongoing_standard`."""
    return f"tickserve_{kind}_{priority.name.lower()}"


def read_figures(
    series: Mapping[str, Sequence[Point]], *, now: float, look_back: float, recent: float, changed: float, grown: float
) -> ReplicaFigures | None:
    """Returns what one replica reports, or None where it has reported nothing of ours.

    Args:
        series: Its figures by name, oldest first.
        now: Unix seconds.
        look_back: Seconds over which ongoing requests are averaged.
        recent: Seconds for which a last report tells of pressure.
        changed: Unix seconds; a last report from before says nothing of the present number of replicas.
        grown: Unix seconds; a last report from before tells of a pressure that has been answered since.
    """
    busy = series.get(BUSY)
    if not busy:
        return None

    def last(kind: str) -> dict[PriorityClass, float]:
        named = {priority: series.get(metric(kind, priority)) for priority in CLASSES}
        return {priority: points[-1].value for priority, points in named.items() if points}

    reported = busy[-1].timestamp
    ongoing = 0.0
    for priority in CLASSES:
        points = series.get(metric(ONGOING, priority), ())
        looked_back_on = [point.value for point in points if point.timestamp >= now - look_back]
        ongoing += sum(looked_back_on) / len(looked_back_on) if looked_back_on else 0.0
    return ReplicaFigures(
        ongoing=ongoing,
        queue_time=last(QUEUE_TIME),
        ended=last(ENDED),
        missed=last(MISSED),
        busy=busy[-1].value,
        is_fresh=reported > changed,
        is_current=reported > changed or (reported > grown and now - reported <= recent),
    )

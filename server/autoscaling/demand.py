"""From what the replicas report to how many are wanted now. Pure: no clock, no delays, no bounds, no Ray.

Three signals ask for replicas, and the greatest wins:

- unary requests in hand, over the target for one replica: what the original design scaled on. Open streams are none;
- the predicted time in the queue, over its goal, of the class that is worst off. Each class waits for what is before
  it, so background work that fills the queue asks for nothing in the name of those that overtake it;
- late and shed requests, over their goal, while engines are busy: idle ones are not helped by company, since then the
  deadlines themselves are too short.

Fewer are wanted only where the engines that stay would not be busier than their goal, and where requests in hand and
waits, as they would be then, still leave room: both grow as b / (1 - b) where b is the engines' busy share, much faster
than their number falls. Without that a pool that is large enough looks idle, shrinks, is too small, and grows again.

Every signal grows with the load, and so does their greatest: more load never asks for fewer replicas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batching import PriorityClass

CLASSES = (PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND)

# Most growth that queue and misses may ask for at once: a queue of a minute says that there are too few replicas, not
# that there must be a thousand. What is wanted is asked again when those have come.
_MOST_GROWTH = 2.0
# What is expected of fewer replicas must leave a tenth of room: so much is noise.
_ROOM = 1.1
# Below this share of busy time misses have another cause than too few engines.
_BUSY_ENOUGH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFigures:
    """What one replica reports.

    Attributes:
        ongoing: Unary requests in hand, mean over the look-back period.
        queue_time: Seconds that a new request of each class is predicted to wait, mean of its last report.
        ended: Requests of each class that have ended in its last report.
        missed: Those of them that were late, or refused for want of capacity.
        busy: Share of the time that its engine was busy, 0 to 1, in its last report.
        is_fresh: Whether its last report is of the present number of replicas: only then may some of them go.
        is_current: Whether its last report may ask for more of them; else only `ongoing` counts. A replica that comes
            and goes makes all reports unfresh, again and again, but the pressure on the others is real.
    """

    ongoing: float = 0.0
    queue_time: Mapping[PriorityClass, float] = field(default_factory=dict)
    ended: Mapping[PriorityClass, float] = field(default_factory=dict)
    missed: Mapping[PriorityClass, float] = field(default_factory=dict)
    busy: float = 0.0
    is_fresh: bool = True
    is_current: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What the pool is held to; see `AutoscalingSettings`.

    Attributes:
        target: Unary requests in hand of one replica.
        queue_time: Seconds in the queue, by class.
        misses: Share of late and shed requests, by class.
        busy: Share of its time that an engine may be busy after a replica has gone.
    """

    target: float
    queue_time: Mapping[PriorityClass, float]
    misses: Mapping[PriorityClass, float]
    busy: float


def wanted_replicas(figures: Sequence[ReplicaFigures], goals: Goals, *, running: int, held: int | None = None) -> float:
    """Returns how many replicas the load asks for; a fraction, since factors are applied to it.

    Args:
        figures: One for each running replica that has reported at all.
        goals: What they are held to.
        running: How many replicas run, at least 1.
        held: How many there are when none of them is missing, at least `running`, which it is by default. Who asks for
            more asks for more than these: else one that comes and goes would be what is wanted, each time anew.
    """
    held = running if held is None else held
    current = [figure for figure in figures if figure.is_current]
    ongoing = sum(figure.ongoing for figure in figures)
    pressure = _queue_pressure(current, goals)
    wanted = max(ongoing / goals.target, _for_queue(pressure, held), _for_misses(current, goals, held))
    if wanted >= running:
        return wanted
    fresh = [figure for figure in figures if figure.is_fresh]
    if len(fresh) < running:
        # A replica that says nothing may be the one with the queue.
        return running
    busy = sum(figure.busy for figure in fresh)
    number = running
    while number and _fits(number - 1, running, busy=busy, ongoing=ongoing, pressure=pressure, goals=goals):
        number -= 1
    return number


def _fits(number: int, running: int, *, busy: float, ongoing: float, pressure: float, goals: Goals) -> bool:
    """Tells whether fewer replicas would do, by how much more each would have in hand and how much longer work waited.

    Args:
        number: How many there would be.
        running: How many there are.
        busy: How many engines' whole time is worked now.
        ongoing: Unary requests in hand now, of all together.
        pressure: Share of its goal that the worst queue has reached now.
        goals: What they are held to.
    """
    if number == 0:
        return not (busy or ongoing or pressure)
    now, then = min(busy / running, 0.99), busy / number
    if then > goals.busy or then >= 1:
        return False
    stretch = _ROOM * (1 - now) / (1 - then)
    return ongoing * stretch <= goals.target * number and pressure * stretch * running / number <= 1


def _queue_pressure(current: Sequence[ReplicaFigures], goals: Goals) -> float:
    """Returns the greatest share of its goal that a class's predicted queue time has reached, mean of the replicas."""
    if not current:
        return 0.0
    return max(
        sum(figure.queue_time.get(priority, 0.0) for figure in current) / len(current) / goals.queue_time[priority]
        for priority in CLASSES
    )


def _for_queue(pressure: float, held: int) -> float:
    return held * min(_MOST_GROWTH, pressure) if pressure > 1 else 0.0


def _for_misses(current: Sequence[ReplicaFigures], goals: Goals, held: int) -> float:
    """Returns how many replicas would serve what was missed as well, at least one more; 0 where misses are few."""
    if not current or sum(figure.busy for figure in current) / len(current) < _BUSY_ENOUGH:
        return 0.0
    worst = 0.0
    for priority in CLASSES:
        ended = sum(figure.ended.get(priority, 0.0) for figure in current)
        missed = sum(figure.missed.get(priority, 0.0) for figure in current)
        if ended > 0 and missed / ended > goals.misses[priority]:
            worst = max(worst, missed / ended)
    if not worst:
        return 0.0
    # What share is missed is what share of the pool is missing.
    return max(held + 1.0, held / (1 - min(worst, 1 - 1 / _MOST_GROWTH)))


def scaled(wanted: float, *, running: int, upscaling_factor: float, downscaling_factor: float) -> int:
    """Returns the next number of replicas on the way to what is wanted, as Ray Serve's own factors make it."""
    if running == 0:
        return math.ceil(wanted)
    factor = upscaling_factor if wanted > running else downscaling_factor
    number = math.ceil(running + factor * (wanted - running))
    return number - 1 if math.ceil(wanted) < running == number else number

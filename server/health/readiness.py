"""Judges from a replica's situation whether it takes requests, and whether it should be replaced.

Pure: knows neither probes nor where the situation comes from.
"""

from __future__ import annotations

import dataclasses
import enum


class Blocker(enum.Enum):
    """What keeps a replica from taking requests; the names are shown to operators."""

    WARMING_UP = "the model is being loaded and warmed up"
    DRAINING = "the replica finishes what it has and takes nothing new"
    STOPPED = "the replica has stopped"
    LOOP_DEAD = "the scheduler's loop makes no progress"
    ENGINE_HUNG = "an engine call never returned"
    MODEL_MISSING = "no version of the default model is loaded"


FATAL = frozenset({Blocker.LOOP_DEAD, Blocker.ENGINE_HUNG})
"""What only a new process mends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """How a replica's parts stand.

    Attributes:
        started: Whether start-up has come to its end. Until then the parts below say nothing.
        draining: Whether it has been told to go.
        stopped: Whether it has been closed.
        loop_alive: Whether the scheduler gets through its passes.
        engine_hung: Whether an engine call has ever hung.
        model_loaded: Whether the default model can answer.
    """

    started: bool
    draining: bool = False
    stopped: bool = False
    loop_alive: bool = True
    engine_hung: bool = False
    model_loaded: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What follows from a situation.

    Attributes:
        blockers: What keeps the replica from taking requests, worst first; empty where nothing does.
    """

    blockers: tuple[Blocker, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return not self.blockers

    @property
    def live(self) -> bool:
        """Whether it may still come round, or end well, by itself: true while it warms up and while it drains."""
        return FATAL.isdisjoint(self.blockers)


WARMING_UP = Readiness(blockers=(Blocker.WARMING_UP,))
"""Of a replica of which there is nothing yet."""


def judge(situation: Situation) -> Readiness:
    """Returns what keeps a replica in that situation from taking requests."""
    if not situation.started:
        found = {Blocker.STOPPED: situation.stopped, Blocker.DRAINING: situation.draining, Blocker.WARMING_UP: True}
    else:
        found = {
            Blocker.ENGINE_HUNG: situation.engine_hung,
            Blocker.LOOP_DEAD: not situation.loop_alive and not situation.stopped,
            Blocker.STOPPED: situation.stopped,
            Blocker.DRAINING: situation.draining,
            Blocker.MODEL_MISSING: not situation.model_loaded,
        }
    return Readiness(blockers=tuple(blocker for blocker, is_there in found.items() if is_there))

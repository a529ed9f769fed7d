"""Judges an engine by inferences of a dummy window. Pure: knows no scheduler, no clock and no model.

What is judged is the time in the engine alone. How long the check waited for an idle moment says how busy the replica
is, not how well, so it is told apart and turns nothing; a check that found no such moment is skipped, and the judgement
before it stands.
"""

from __future__ import annotations

import dataclasses
import enum


class DeepState(enum.IntEnum):
    """How the engine fared when it was last seen at work; the higher, the better."""

    UNKNOWN = 0
    """No check has ended yet."""
    UNHEALTHY = 1
    """It failed."""
    DEGRADED = 2
    """It was slow."""
    HEALTHY = 3
    """It was in time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeepHealth:
    """The last judgement, and what has been tried since.

    Attributes:
        state: The judgement.
        checked_at: When, in seconds since the epoch; 0 if never.
        engine_duration: Seconds that the engine took; 0 if it failed.
        queue_duration: Seconds that the check waited for it.
        error: Why it failed; empty unless it did.
        skipped_count: Checks since then, or since the start, that found no idle moment.
        skipped_duration: Seconds that the newest of them waited.
    """

    state: DeepState = DeepState.UNKNOWN
    checked_at: float = 0.0
    engine_duration: float = 0.0
    queue_duration: float = 0.0
    error: str = ""
    skipped_count: int = 0
    skipped_duration: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether the engine was in time."""
        return self.state is DeepState.HEALTHY

    def skipped(self, waited: float) -> DeepHealth:
        """Returns what is known after a check that found no idle moment: no more, and that it was tried."""
        return dataclasses.replace(self, skipped_count=self.skipped_count + 1, skipped_duration=waited)


def measured(*, at: float, engine: float, queue: float, degraded_above: float) -> DeepHealth:
    """Judges a check that was answered.

    Args:
        at: When, in seconds since the epoch.
        engine: Seconds in the engine.
        queue: Seconds before.
        degraded_above: From how many seconds in the engine on it is slow.
    """
    state = DeepState.HEALTHY if engine < degraded_above else DeepState.DEGRADED
    return DeepHealth(state=state, checked_at=at, engine_duration=engine, queue_duration=queue)


def failed(error: str, *, at: float) -> DeepHealth:
    """Judges a check that was not answered; `error` is shown to operators and must name nothing secret."""
    return DeepHealth(state=DeepState.UNHEALTHY, checked_at=at, error=error)

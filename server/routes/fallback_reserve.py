"""How much of a request's time must be left for stable, should the candidate fail it. Owns the estimate and its age."""

from __future__ import annotations

from collections.abc import Callable

from batching import Statistics
from server.models.served_model import ServedModel

# Seconds for which one look at the scheduler's costs serves: they move slowly, and a look at all of them takes long.
_REFRESH = 0.5


class FallbackReserve:
    """Estimates what a call to stable needs, from what the scheduler has learned of both versions.

    Args:
        statistics: Looks at the scheduler.
        clock: Monotonic seconds.
    """

    def __init__(self, statistics: Callable[[], Statistics], clock: Callable[[], float]) -> None:
        self._look = statistics
        self._clock = clock
        self._statistics: Statistics | None = None
        self._looked_at = 0.0

    def seconds(self, stable: ServedModel, candidate: ServedModel) -> float:
        """Returns how long before its deadline a request must leave the candidate for stable.

        The engine may have begun the longest batch of either just then, which it does not interrupt; then it computes
        the window. Upper quantiles, as in admission; 0 while nothing is known of their durations.
        """
        now = self._clock()
        if self._statistics is None or now - self._looked_at >= _REFRESH:
            self._statistics, self._looked_at = self._look(), now
        return max(self._longest(stable), self._longest(candidate)) + self._cost(stable, 1)

    def _longest(self, model: ServedModel) -> float:
        assert self._statistics is not None
        return self._cost(model, self._statistics.batch_limit.get(model.sha256, 1))

    def _cost(self, model: ServedModel, size: int) -> float:
        assert self._statistics is not None
        costs = self._statistics.costs.get(model.sha256, {})
        # Of the sizes that are told, the least that holds so many.
        told = min((known for known in costs if known >= size), default=max(costs, default=0))
        return costs[told].quantile if told else 0.0

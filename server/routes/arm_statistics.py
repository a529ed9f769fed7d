"""How one arm of a route fares: since it began, and over a sliding window. Owns the counting; judges nothing."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable

from server.routes.disagreement import Disagreement
from server.routes.latency_histogram import LatencyHistogram

_SLICES = 12


class Outcome(enum.Enum):
    """How a call to an arm ended. One that its caller gave up has none."""

    ANSWERED = enum.auto()
    ERROR = enum.auto()
    """It failed, or its answer was not finite or not normalised."""
    LATE = enum.auto()
    """It was not, or would not have been, answered in time."""
    DECLINED = enum.auto()
    """There was no room to try it, which says nothing of the version."""


class ArmFigures:
    """Counters of one arm over some span.

    Attributes:
        outcomes: Calls by how they ended.
        fallbacks: Calls that ended otherwise than answered and that stable then answered.
        latency: Of the answers that had to be computed, from the asking to the answer.
        compared: Answers that were compared with another version's.
        other_class: Those of them with another likeliest class.
        probability_total: Sum of the compared answers' differences of probability; `probability_most` the largest.
        regression_total: Sum of their differences of regressions, in target deviations; `regression_most` likewise.
    """

    __slots__ = (
        "compared",
        "fallbacks",
        "latency",
        "other_class",
        "outcomes",
        "probability_most",
        "probability_total",
        "regression_most",
        "regression_total",
    )

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.fallbacks = 0
        self.latency = LatencyHistogram()
        self.compared = 0
        self.other_class = 0
        self.probability_total = 0.0
        self.probability_most = 0.0
        self.regression_total = 0.0
        self.regression_most = 0.0

    @property
    def requests(self) -> int:
        """Calls that have ended."""
        return sum(self.outcomes.values())

    @property
    def judged(self) -> int:
        """Calls whose end says something of the version: all but the declined ones."""
        return self.requests - self.outcomes[Outcome.DECLINED]

    def rate(self, outcome: Outcome) -> float:
        """Returns the part of the judged calls that ended so, 0 to 1; 0 if there are none."""
        return self.outcomes[outcome] / self.judged if self.judged else 0.0

    @property
    def disagreement(self) -> float:
        """The part of the compared answers with another likeliest class, 0 to 1; 0 if there are none."""
        return self.other_class / self.compared if self.compared else 0.0

    def count(self, outcome: Outcome, seconds: float | None) -> None:
        """Counts one call's end; `seconds` is how long an answer took that had to be computed, else None."""
        self.outcomes[outcome] += 1
        if seconds is not None:
            self.latency.add(seconds)

    def count_comparison(self, found: Disagreement) -> None:
        """Counts one comparison."""
        self.compared += 1
        self.other_class += found.other_class
        self.probability_total += found.probability_difference
        self.probability_most = max(self.probability_most, found.probability_difference)
        self.regression_total += found.regression_difference
        self.regression_most = max(self.regression_most, found.regression_difference)

    def merge(self, other: ArmFigures) -> None:
        """Counts all that another one has counted."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] += count
        self.fallbacks += other.fallbacks
        self.latency.merge(other.latency)
        self.compared += other.compared
        self.other_class += other.other_class
        self.probability_total += other.probability_total
        self.probability_most = max(self.probability_most, other.probability_most)
        self.regression_total += other.regression_total
        self.regression_most = max(self.regression_most, other.regression_most)


class ArmStatistics:
    """Counts what happens to one arm.

    Args:
        window: Seconds that the sliding window spans; it moves on by a twelfth of that at a time.
        clock: Monotonic seconds.
    """

    def __init__(self, *, window: float, clock: Callable[[], float]) -> None:
        self._width = window / _SLICES
        self._clock = clock
        self._total = ArmFigures()
        self._recent = ArmFigures()
        # Number of the slice of time, and what was counted in it; oldest first.
        self._slices: deque[tuple[int, ArmFigures]] = deque()

    @property
    def total(self) -> ArmFigures:
        """What was counted since the arm began; not to be changed."""
        return self._total

    @property
    def recent(self) -> ArmFigures:
        """What was counted within the window; not to be changed."""
        self._move_on()
        return self._recent

    def count(self, outcome: Outcome, seconds: float | None = None) -> None:
        """Counts one call's end; `seconds` is how long an answer took that had to be computed."""
        for figures in self._current():
            figures.count(outcome, seconds)

    def count_fallback(self) -> None:
        """Counts one call that stable has answered instead."""
        for figures in self._current():
            figures.fallbacks += 1

    def count_comparison(self, found: Disagreement) -> None:
        """Counts one comparison of an answer of this arm with another version's."""
        for figures in self._current():
            figures.count_comparison(found)

    def _current(self) -> tuple[ArmFigures, ArmFigures, ArmFigures]:
        number = self._move_on()
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, ArmFigures()))
        return self._slices[-1][1], self._recent, self._total

    def _move_on(self) -> int:
        """Forgets what has left the window and returns the number of the present slice."""
        number = int(self._clock() // self._width)
        if self._slices and self._slices[0][0] <= number - _SLICES:
            while self._slices and self._slices[0][0] <= number - _SLICES:
                self._slices.popleft()
            # Made anew rather than subtracted from: a largest value cannot be taken back.
            self._recent = ArmFigures()
            for _, figures in self._slices:
                self._recent.merge(figures)
        return number

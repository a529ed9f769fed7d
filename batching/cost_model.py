"""Owns the prediction of how long a batch takes. Must not know requests, queues or what is decided with it.

Law 7, prediction: per key it learns the duration by batch size while serving: median and an upper quantile, monotone in
size, robust to outliers; it follows a machine that slows or speeds up within ``cost_curve.MEDIAN_SAMPLES`` batches
(down again within ``QUANTILE_SAMPLES`` for the quantile), and decays to its warm-up values without samples.

Sources: Clockwork (Gujarati et al., OSDI 2020: a deep network's execution is predictable, so schedule by a high
percentile of its recent durations) and BentoML's dispatcher (duration ``a * n + b``, fitted online). A table with
interpolation replaces the straight line, since engines pad and compile by bucket; medians replace least squares, since
one call that compiles must not count.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batching.cost_accuracy import CostAccuracy, CostRatios
from batching.cost_curve import HALF_LIFE, CostCurve

#: How many keys are remembered; of more, the one least recently measured is forgotten.
MAX_KEYS = 64
#: How often decay is looked after, in seconds.
_DECAY_INTERVAL = HALF_LIFE / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Predicted seconds of one batch: half take at most ``median``, nearly all at most ``quantile``."""

    median: float
    quantile: float


class CostModel:
    """The curves of all keys. A key of which nothing is known costs 0: whoever asks is optimistic.

    Args:
        quantile: Which upper quantile is predicted beside the median.
        warm_up: Measured before service: seconds by batch size, by key.
    """

    def __init__(self, *, quantile: float = 0.95, warm_up: Mapping[str, Mapping[int, float]] | None = None) -> None:
        self._quantile = quantile
        self._curves: dict[str, CostCurve] = {}  # in order of last measurement
        self._ratios: dict[str, CostRatios] = {}  # of the same keys, but for those never served
        self._unknown = CostCurve(quantile)
        self._decay_at = -math.inf
        for key, table in (warm_up or {}).items():
            for size, seconds in table.items():
                self.observe_warm_up(key, size, seconds)

    def __len__(self) -> int:
        """Return the number of keys remembered."""
        return len(self._curves)

    def curve(self, batch_key: str) -> CostCurve:
        """Return what is known of a key; read it, but let ``observe`` write it."""
        return self._curves.get(batch_key, self._unknown)

    def observe(self, batch_key: str, size: int, seconds: float, now: float) -> None:
        """Learn from a batch that has ended well. What a standing or leaping clock measured is ignored."""
        if 0.0 < seconds < math.inf:
            if predicted := self.median(batch_key, size):
                self._ratios.setdefault(batch_key, CostRatios()).note(predicted, seconds)
            self._touch(batch_key).observe(size, seconds, now)

    def observe_warm_up(self, batch_key: str, size: int, seconds: float) -> None:
        """Take a measurement from before service.

        Raises:
            ValueError: It is not one.
        """
        if size < 1 or not 0.0 < seconds < math.inf:
            raise ValueError(f"warm-up of {size} in {seconds} s; give a size of at least 1 and finite seconds > 0")
        self._touch(batch_key).observe_warm_up(size, seconds)

    def set_quantile(self, quantile: float) -> None:
        """Predict another upper quantile from now on."""
        if quantile != self._quantile:
            self._quantile = quantile
            for curve in (self._unknown, *self._curves.values()):
                curve.set_quantile(quantile)

    def decay(self, now: float) -> None:
        """Take note of the time; cheap to call often."""
        if now < self._decay_at:
            return
        self._decay_at = now + _DECAY_INTERVAL
        for curve in self._curves.values():
            curve.decay(now)

    def median(self, batch_key: str, size: int) -> float:
        """Return the median seconds of a batch."""
        return self.curve(batch_key).median(size)

    def quantile(self, batch_key: str, size: int) -> float:
        """Return the upper quantile of the seconds of a batch."""
        return self.curve(batch_key).quantile(size)

    def table(self) -> Mapping[str, Mapping[int, CostEstimate]]:
        """Return the predictions for all sizes measured, by key."""
        return {
            key: {n: CostEstimate(median=curve.median(n), quantile=curve.quantile(n)) for n in curve.sizes}
            for key, curve in self._curves.items()
            if curve.known
        }

    def accuracy(self) -> Mapping[str, CostAccuracy]:
        """Return how well the medians have come true, for every key that was predicted and then measured."""
        return {key: ratios.so_far() for key, ratios in self._ratios.items()}

    def _touch(self, batch_key: str) -> CostCurve:
        curve = self._curves.pop(batch_key, None) or CostCurve(self._quantile)
        self._curves[batch_key] = curve
        if len(self._curves) > MAX_KEYS:
            forgotten = next(iter(self._curves))
            del self._curves[forgotten]
            self._ratios.pop(forgotten, None)
        return curve

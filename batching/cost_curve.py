"""Owns what is known of one key's batch durations: a curve over the sizes, and how fast the machine is right now.

Must not know keys, requests, deadlines or what the prediction is used for.

Two things are learned apart, because they change apart. The *curve* (seconds by size) is the model's: it changes
slowly, so each size moves by small, clipped steps, and sizes that contradict the order are pooled (isotonic regression:
pool adjacent violators). Its level is held to the warm-up's, or it and the speed would drift apart. The *speed* is the
machine's: the ratio of what is measured to the curve, pooled over all sizes, so a machine that slows down is followed
at every size, even one not seen since. Its median over the last ``MEDIAN_SAMPLES`` batches makes half of them an
outlier's worth of robustness; its upper quantile over the last ``QUANTILE_SAMPLES`` is the spread.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice

#: The median is taken over this many of the newest batches: a change of speed counts after one more than half.
MEDIAN_SAMPLES = 15
#: The upper quantile is taken over this many.
QUANTILE_SAMPLES = 48
#: An estimate without samples is worth half after this many seconds.
HALF_LIFE = 60.0
#: The same for one size while others are measured, and when it is forgotten if it has no warm-up value. Short, because
#: a size thought too slow is not tried again: without it, noise would shut out one size after another.
SIZE_HALF_LIFE = 10.0
#: After so many half-lives what was learned without a warm-up value is forgotten.
_FORGOTTEN_AFTER = 4.0
#: Until there are a few samples, the upper quantile is taken to be this much above the median.
_FIRST_SPREAD = 1.2
#: The first samples of a size are taken by their median; later ones move it by this part, of a change clipped to that.
_FIRST_SAMPLES = 5
_STEP = 0.1
_CLIP = (0.8, 1.25)
#: How long a key may go without samples, in seconds, before one request is let in against its estimate.
PROBE_INTERVAL = 1.0
#: The most a size may weigh against its neighbours where they contradict.
_MAX_WEIGHT = 20


class _Size:
    """One batch size: its seconds at speed 1, and what the level of these is held to."""

    __slots__ = ("anchor", "first", "samples", "seconds", "seen_at", "warm")

    def __init__(self, seconds: float, warm: float | None) -> None:
        self.seconds = seconds
        self.warm = warm
        self.anchor = seconds if warm is None else warm
        self.samples = 0
        self.seen_at = float("-inf")
        self.first: list[float] | None = None  # its first samples, if nothing else tells what to start from

    def learn(self, seconds: float, now: float) -> None:
        """Learn from a sample."""
        self.samples += 1
        self.seen_at = now
        if self.first is not None and self.samples <= _FIRST_SAMPLES:
            self.first.append(seconds)
            self.seconds = self.anchor = sorted(self.first)[(len(self.first) - 1) // 2]
            return
        low, high = _CLIP
        self.seconds *= 1.0 + _STEP * (min(max(seconds / self.seconds, low), high) - 1.0)

    def decayed(self, now: float) -> float:
        """Return the seconds, drawn towards the warm-up value by the time without samples."""
        if self.warm is None or not self.samples:
            return self.seconds
        return float(self.warm * (self.seconds / self.warm) ** _weight(now - self.seen_at, SIZE_HALF_LIFE))


class CostCurve:
    """Predicts one key's batch durations in seconds; 0 for everything while nothing is known.

    Monotone in size. Between known sizes it is linear; beyond them proportional to the size, which for a fixed cost
    plus a cost per item is too low below the least (optimistic, until a small batch has been seen) and too high above
    the greatest (careful, yet each larger batch that is tried moves the border up).
    """

    __slots__ = (
        "_counts",
        "_due",
        "_limits",
        "_median",
        "_probed_at",
        "_quantile",
        "_ratios",
        "_recent",
        "_seconds",
        "_seen_at",
        "_sizes",
        "_table",
        "_upper",
        "_values",
    )

    def __init__(self, quantile: float) -> None:
        self._upper = quantile
        self._table: dict[int, _Size] = {}
        self._recent: deque[tuple[int, float]] = deque(maxlen=QUANTILE_SAMPLES)
        self._counts: dict[int, int] = {}  # of the sizes in recent
        self._ratios: deque[float] = deque(maxlen=QUANTILE_SAMPLES)
        self._seen_at = float("-inf")
        self._probed_at = float("-inf")
        self._due = 0  # samples until the curve is drawn again
        self._sizes: list[int] = []
        self._seconds: list[float] = []
        self._median = 1.0
        self._quantile = _FIRST_SPREAD
        # What was asked before, until it changes: the same few questions come with every request.
        self._values: dict[int, float] = {}
        self._limits: dict[tuple[float, int, float], int] = {}

    @property
    def known(self) -> bool:
        """Whether there is anything to predict from."""
        return bool(self._sizes)

    @property
    def sizes(self) -> list[int]:
        """The sizes that were measured."""
        return list(self._sizes)

    def observe_warm_up(self, size: int, seconds: float) -> None:
        """Take a measurement from before service; of several the least counts, since first calls compile."""
        entry = self._table.get(size)
        if entry is None:
            self._table[size] = _Size(seconds, seconds)
        else:
            entry.warm = seconds if entry.warm is None else min(entry.warm, seconds)
            if not entry.samples:
                entry.seconds = entry.warm
            entry.anchor = entry.warm
        self._draw(self._seen_at)

    def observe(self, size: int, seconds: float, now: float) -> None:
        """Learn from a batch that took ``seconds``."""
        self._seen_at = now
        recent, counts = self._recent, self._counts
        if len(recent) == QUANTILE_SAMPLES:
            counts[recent[0][0]] -= 1
            if not counts[recent[0][0]]:
                del counts[recent[0][0]]
        recent.append((size, seconds))
        counts[size] = counts.get(size, 0) + 1
        entry = self._table.get(size)
        is_new = entry is None
        expected = self._at(size) or seconds
        self._ratios.append(seconds / expected)
        self._measure_speed()
        if entry is None:
            # Between known sizes it starts from what they tell: a first sample is mostly noise.
            within = bool(self._sizes) and self._sizes[0] < size < self._sizes[-1]
            entry = self._table[size] = _Size(expected if within else seconds / self._median, None)
            entry.first = None if within else []
        entry.learn(seconds / self._median, now)
        self._due -= 1
        if is_new or self._due <= 0:
            self._draw(now)

    def claim_probe(self, now: float) -> bool:
        """Tell whether a request may be let in to prove the estimate wrong; at most one in ``PROBE_INTERVAL``."""
        if now - max(self._seen_at, self._probed_at) < PROBE_INTERVAL:
            return False
        self._probed_at = now
        return True

    def set_quantile(self, quantile: float) -> None:
        """Use another upper quantile."""
        self._upper = quantile
        self._measure_speed()

    def decay(self, now: float) -> None:
        """Take note that time has passed."""
        forget_before = now - _FORGOTTEN_AFTER * HALF_LIFE
        newest = min(self._seen_at, now)
        size_forget_before = max(forget_before, newest - SIZE_HALF_LIFE)
        self._table = {n: e for n, e in self._table.items() if e.warm is not None or e.seen_at >= size_forget_before}
        if self._seen_at < forget_before:
            self._recent.clear()
            self._counts.clear()
        self._draw(now)

    def median(self, size: int) -> float:
        """Return how long a batch of ``size`` takes as often as not longer."""
        return self._at(size) * self._median

    def quantile(self, size: int) -> float:
        """Return how long a batch of ``size`` takes at most, but for the few of the upper quantile."""
        return self._at(size) * self._quantile

    def limit(self, duration: float, at_most: int, max_slowdown: float = math.inf) -> int:
        """Return the greatest size, 1 to ``at_most``, whose median is within ``duration``; 1 if none is.

        Where the machine is slower than the curve by more than ``max_slowdown``, that is taken for its speed.
        """
        question = duration, at_most, max_slowdown
        limit = self._limits.get(question)
        if limit is None:
            limit = self._limits[question] = self._limit(*question)
        return limit

    def _limit(self, duration: float, at_most: int, max_slowdown: float) -> int:
        sizes, seconds = self._sizes, self._seconds
        if not sizes:
            return at_most
        target = duration / min(self._median, max_slowdown)
        i = bisect_right(seconds, target)
        if i == 0:
            size = target / seconds[0] * sizes[0]
        elif i == len(sizes):
            size = target / seconds[-1] * sizes[-1]
        else:
            part = (target - seconds[i - 1]) / (seconds[i] - seconds[i - 1])
            size = sizes[i - 1] + part * (sizes[i] - sizes[i - 1])
        return max(1, int(min(at_most, size + 1e-9)))

    def _at(self, size: int) -> float:
        """Return the curve's value: seconds at speed 1."""
        value = self._values.get(size)
        if value is None:
            value = self._values[size] = self._interpolate(size)
        return value

    def _interpolate(self, size: int) -> float:
        sizes, seconds = self._sizes, self._seconds
        if not sizes:
            return 0.0
        i = bisect_left(sizes, size)
        if i == len(sizes):
            return seconds[-1] * size / sizes[-1]
        above = sizes[i]
        if above == size:
            return seconds[i]
        if i == 0:
            return seconds[0] * size / above
        below = sizes[i - 1]
        return seconds[i - 1] + (seconds[i] - seconds[i - 1]) * (size - below) / (above - below)

    def _draw(self, now: float) -> None:
        """Draw the curve through the sizes known, and measure what is recent against it."""
        self._hold_level()
        blocks: list[list[float]] = []  # seconds, weight, how many sizes
        sizes = sorted(self._table)
        for size in sizes:
            entry = self._table[size]
            weight = float(min(max(entry.samples, 1), _MAX_WEIGHT))
            blocks.append([entry.decayed(now), weight, 1])
            while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                value, weight, count = blocks.pop()
                last = blocks[-1]
                last[0] = (last[0] * last[1] + value * weight) / (last[1] + weight)
                last[1] += weight
                last[2] += count
        self._sizes = sizes
        self._seconds = [value for value, _, count in blocks for _ in range(int(count))]
        # Drawing is dear and the curve slow to change; only the first samples cannot wait.
        self._values.clear()
        self._due = 8 if len(self._recent) >= MEDIAN_SAMPLES else 1
        self._ratios = deque(
            (seconds / expected for size, seconds in self._recent if (expected := self._at(size))),
            maxlen=QUANTILE_SAMPLES,
        )
        self._measure_speed()
        if (weight := _weight(now - self._seen_at)) < 1.0:
            self._limits.clear()
            self._median **= weight
            self._quantile = max(self._median, _FIRST_SPREAD ** (1.0 - weight) * self._quantile**weight)

    def _hold_level(self) -> None:
        """Let what is measured now change the curve's shape only, not its level, which is the speed's to tell.

        Otherwise the two drift apart, and sizes not measured now, taken for slow, are not tried again. Held to what
        never moves: the errors of single steps add up, in half an hour of small batches to a thousand times the time.
        """
        known = [(entry, count) for size, count in self._counts.items() if (entry := self._table.get(size))]
        if known:
            drift = sum(count * math.log(entry.seconds / entry.anchor) for entry, count in known)
            factor = math.exp(-drift / len(self._recent))
            for entry, _ in known:
                entry.seconds *= factor

    def _measure_speed(self) -> None:
        self._limits.clear()
        ratios: Sequence[float] = self._ratios
        few = len(ratios) < 3
        if few:  # one stall must not outweigh what was measured before service
            ratios = [1.0] * (3 - len(ratios)) + list(ratios)
        count = len(ratios)
        newest = sorted(islice(ratios, max(0, count - MEDIAN_SAMPLES), count))
        self._median = median = newest[(len(newest) - 1) // 2]
        # Below the greatest even when few are known: one outlier must not be taken for the spread.
        upper = sorted(ratios)[min(int(self._upper * count), count - 2)]
        self._quantile = max(upper, median * _FIRST_SPREAD if few else median)


def _weight(age: float, half_life: float = HALF_LIFE) -> float:
    """Return what an estimate of that age is worth: 1 when fresh, 0 when ancient."""
    return float(0.5 ** (max(0.0, age) / half_life)) if age != float("inf") else 0.0

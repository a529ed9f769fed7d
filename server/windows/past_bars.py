"""The bars of a history, worked out aside in slices that an event loop can give way between.

Owns how much of a long history becomes features, and the order of bars. Changes nothing that anybody else sees.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.features import FeatureExtractor
from server.refusal import Reason, Refusal

FloatArray = npt.NDArray[np.float32]

# Each of these takes a good half of a millisecond.
_ROWS_A_SLICE: Final = 8
_SEEDS_A_SLICE: Final = 200
_CHECKS_A_SLICE: Final = 4000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PastBars:
    """What a history comes to.

    Attributes:
        extractor: Has taken all the bars.
        bars: The newest bars, as many as a window and its warm-up need; empty where all were known.
        rows: As many as `bars`: their features; None where they were not computed, or in warm-up.
        row_count: Rows that the whole history is worth, those that were not computed too.
        has_gap: Rows were left out, so that those before the history and those of it make no window together.
        has_all: `bars` are all; else older ones were left out, and nothing before the history matters any more.
    """

    extractor: FeatureExtractor
    bars: Sequence[Bar]
    rows: Sequence[FloatArray | None]
    row_count: int
    has_gap: bool
    has_all: bool


def work_out(
    extractor: FeatureExtractor, bars: Sequence[Bar], *, steps: int, path: str
) -> Generator[None, None, PastBars]:
    """Feeds bars to a copy of an extractor, and computes the newest rows of them; bars that it has passed are left out.

    Args:
        extractor: Has taken the bars before them; stays as it is.
        bars: Oldest first.
        steps: Rows to compute at most: those of one window.
        path: Where a bar lies in the request, for errors.

    Raises:
        Refusal: INVALID_TICK, as `check_order`.
    """
    newest = extractor.last_open_time
    known = 0
    while newest is not None and known < len(bars) and bars[known].open_time <= newest:
        known += 1
    yield from check_order(bars[known:], newest, path=path, first=known)
    count = len(bars) - known
    missing = max(0, extractor.warmup_bars - extractor.bar_count)
    used = bars[known:][-(extractor.warmup_bars + steps) :]
    has_all = len(used) == count
    ahead = extractor.copy() if has_all else FeatureExtractor(bar_interval=extractor.bar_interval)
    seeds = max(0, len(used) - steps)
    for start in range(0, seeds, _SEEDS_A_SLICE):
        ahead.seed(used[start : min(start + _SEEDS_A_SLICE, seeds)])
        yield
    rows: list[FloatArray | None] = [None] * seeds
    for number, bar in enumerate(used[seeds:], 1):
        rows.append(ahead.update(bar))
        if number % _ROWS_A_SLICE == 0:
            yield
    return PastBars(
        extractor=ahead,
        bars=used,
        rows=rows,
        row_count=max(0, count - missing),
        has_gap=seeds > 0,
        has_all=has_all,
    )


def check_order(bars: Sequence[Bar], newest: float | None, *, path: str, first: int = 0) -> Generator[None, None, None]:
    """Checks that each bar is later than the one before it.

    Args:
        bars: Oldest first.
        newest: Start of the bar before them, or None.
        path: Where a bar lies in the request, for errors.
        first: Index of the first of the bars in the request.

    Raises:
        Refusal: INVALID_TICK, with the first bar that is not.
    """
    for index, bar in enumerate(bars, first):
        if newest is not None and bar.open_time <= newest:
            raise Refusal(
                Reason.INVALID_TICK,
                "The bar's start_time must be later than that of the bar before it; send bars in order, once each.",
                field=f"{path.format(index=index)}.start_time",
                metadata={"index": str(index), "newest": f"{newest:.3f}", "have": f"{bar.open_time:.3f}"},
            )
        newest = bar.open_time
        if (index + 1) % _CHECKS_A_SLICE == 0:
            yield

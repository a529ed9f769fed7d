"""When goodput is back after a fault. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Seconds of calls that are looked at together: at 50 a second, one of them may fail.
WINDOW = 2.0
SHARE = 0.99


class Call(NamedTuple):
    """One real-time call.

    Attributes:
        sent_at: When it was due, seconds on any clock.
        good: Whether it was answered in time.
    """

    sent_at: float
    good: bool


class Recovery(NamedTuple):
    """What a fault did to goodput.

    Attributes:
        baseline: Share of good calls before the fault.
        seconds: From the fault until the start of the first `WINDOW` from which on every one is as good as before, to
            99 %; None: not within what was seen, or there was no goodput before.
        lost: Calls after the fault that were not good.
    """

    baseline: float
    seconds: float | None
    lost: int


def recovery(calls: Sequence[Call], fault_at: float) -> Recovery:
    """Returns how long goodput was below 99 % of what it was.

    A window counts from its first call, so a lasting outage from 0 s to t gives t and not t plus a window. What ends
    too early for a whole window proves nothing and is left out.

    Args:
        calls: All real-time calls of a run, in any order.
        fault_at: When the fault was put in.

    Raises:
        ValueError: There are no calls before the fault, or none for a whole window after it.
    """
    ordered = sorted(calls)
    before = [call.good for call in ordered if call.sent_at < fault_at]
    after = [call for call in ordered if call.sent_at >= fault_at]
    if not before:
        raise ValueError("no call was due before the fault")
    if not after or after[-1].sent_at - after[0].sent_at < WINDOW:
        raise ValueError(f"calls after the fault do not span {WINDOW:g} s")
    baseline = sum(before) / len(before)
    lost = sum(not call.good for call in after)
    if not baseline:
        return Recovery(baseline, None, lost)  # none is as good as before, which says nothing
    seconds: float | None = 0.0
    good, end = 0, 0
    for start, first in enumerate(after):
        if after[-1].sent_at < first.sent_at + WINDOW:
            break  # not a whole window any more
        while after[end].sent_at < first.sent_at + WINDOW:
            good += after[end].good
            end += 1
        if good < SHARE * baseline * (end - start):
            following = after[start + 1].sent_at
            is_last = after[-1].sent_at < following + WINDOW
            seconds = None if is_last else following - fault_at
        good -= first.good
    return Recovery(baseline, seconds, lost)

"""What a scenario's calls and HAProxy's log come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.outlier.callers import Called
from benchmarks.outlier.proxy_log import ProxyLine
from tickserve.bench.percentile import percentile

_SLOWEST = 3
_FALLBACK = "fallback"


def summarise(calls: Sequence[Called], lines: Sequence[ProxyLine], *, retries: int) -> dict[str, Any]:
    """Returns the figures of one scenario.

    Args:
        calls: All calls, as their callers saw them; at least one.
        lines: HAProxy's log of the same time; each attempt of a call is one.
        retries: Attempts after a call's first.
    """
    seconds = sorted(call.seconds for call in calls if not call.failure)
    failures = Counter(call.failure for call in calls if call.failure)
    slowest = sorted(calls, key=lambda call: -call.seconds)[:_SLOWEST]
    without = [line.at for line in lines if _FALLBACK in line.server]
    return {
        "calls": len(calls),
        "failed": sum(failures.values()),
        "failures": dict(failures),
        "retries": retries,
        "median": percentile(seconds, 0.5),
        "p999": percentile(seconds, 0.999),
        "slowest": max((call.seconds for call in calls), default=None),
        "to_fallback": len(without),
        "seconds_without_replica": round(max(without) - min(without), 3) if without else 0.0,
        "refused_connections": sum(line.retries for line in lines),
        "ended_badly": sum(line.ending != "----" for line in lines),
        "slowest_calls": [{"seconds": round(call.seconds, 3), **_place(call, lines)} for call in slowest],
    }


def _place(call: Called, lines: Sequence[ProxyLine]) -> dict[str, Any]:
    """Returns where HAProxy says that a call's time went, by the longest line within the call; empty if none is.

    Lines are told apart by time alone: several callers' slow calls at one moment have the same reason.
    """
    within = [
        line for line in lines if call.at - 0.002 <= line.at and line.at + line.total <= call.at + call.seconds + 0.002
    ]
    if not within:
        return {}
    line = max(within, key=lambda each: each.total)
    return {
        "before_proxy": round(line.at - call.at, 3),
        "proxy_queue": line.queue,
        "proxy_connect": line.connect,
        "replica": line.response,
        "connection_retries": line.retries,
    }

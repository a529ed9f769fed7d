"""What calls with one second attempt come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.refusals.caller import RETRIED, Attempted
from tickserve.bench.percentile import percentile


def summarise(calls: Sequence[Attempted]) -> dict[str, Any]:
    """Returns counts and shares.

    `refused` were refused at first for want of room or time, `recovered` of these were answered in time at the second
    attempt: false refusals, since another replica could meet the deadline, or the same one a moment later. `failed`
    were not answered in time in the end.
    """
    refused = [call for call in calls if call.first in RETRIED]
    recovered = [call for call in refused if call.second == ""]
    failed = [call for call in calls if (call.first if call.second is None else call.second) != ""]
    # As it would be without a second attempt.
    failed_at_first = [call for call in calls if call.first]
    seconds = sorted(call.seconds for call in calls)
    count = len(calls) or 1
    return {
        "calls": len(calls),
        "refused": len(refused),
        "recovered": len(recovered),
        "recovered_share": len(recovered) / len(refused) if refused else None,
        "failed_at_first_share": len(failed_at_first) / count,
        "failed_share": len(failed) / count,
        "first": dict(Counter(call.first for call in calls if call.first)),
        "second": dict(Counter(call.second for call in refused if call.second)),
        "replicas": dict(Counter(call.replica for call in calls if call.replica)),
        "median": percentile(seconds, 0.5),
        "p99": percentile(seconds, 0.99),
    }

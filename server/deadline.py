"""The one deadline of a request, fixed at receipt on the monotonic clock.

Pure decisions, no clock of its own. Two timeouts that never agree are the most common complaint about other servers;
here the RPC's deadline and the message's timeout are folded into one instant before anything else looks at them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from batching import PriorityClass


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePolicy:
    """How a deadline follows from what the caller gave.

    Attributes:
        default_timeouts: Seconds allowed per class where the caller gives neither deadline nor timeout.
        max_timeout: Upper bound, in seconds, on the time any request may take.
        reply_margin: Seconds before the RPC's deadline at which the answer must be ready to travel back.
    """

    default_timeouts: Mapping[PriorityClass, float]
    max_timeout: float
    reply_margin: float

    def deadline(
        self, *, received_at: float, rpc_deadline: float | None, timeout: float | None, priority: PriorityClass
    ) -> float:
        """Returns the request's deadline, in seconds on the monotonic clock.

        The earliest of the RPC's deadline less ``reply_margin``, receipt plus ``timeout``, and receipt plus
        ``max_timeout``. The class's default counts only when the caller gives neither of the first two.

        Args:
            received_at: Receipt of the request, monotonic seconds.
            rpc_deadline: Deadline of the RPC, monotonic seconds, or None.
            timeout: Validated timeout of the message in seconds, greater than zero, or None.
            priority: Class of the request.
        """
        candidates = [received_at + self.max_timeout]
        if rpc_deadline is not None:
            candidates.append(rpc_deadline - self.reply_margin)
        if timeout is not None:
            candidates.append(received_at + timeout)
        if rpc_deadline is None and timeout is None:
            candidates.append(received_at + self.default_timeouts[priority])
        return min(candidates)


def latest_common_deadline(*, received_at: float, remaining: float | None) -> float | None:
    """Returns the RPC's deadline, or None, such that it is not past at the client before it is past here.

    gRPC sends a timeout as a number of few digits, rounded up: from one second on, by up to a hundredth of it.

    Args:
        received_at: Receipt of the RPC, monotonic seconds.
        remaining: What gRPC says is left of the RPC's time, in seconds; None without a deadline.
    """
    if remaining is None:
        return None
    return received_at + (remaining if remaining < 1.0 else 0.99 * remaining)

"""One RPC from the seam to its status, whatever it was about."""

from __future__ import annotations

import dataclasses

from server.call import Call
from server.refusal import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RpcRecord:
    """One RPC that has ended; times are monotonic seconds.

    Attributes:
        call: What the seam knows of it.
        code: Name of the gRPC status code, as in `OK`.
        ended_at: When it had its status.
        reason: Why it ended with an error of ours; None otherwise.
        is_streamed: Whether it was a stream; its items have records of their own.
    """

    call: Call
    code: str
    ended_at: float
    reason: Reason | None = None
    is_streamed: bool = False

    @property
    def method(self) -> str:
        """The short name, as in `Predict`."""
        return self.call.method.rpartition("/")[2]

    @property
    def duration(self) -> float:
        """Seconds from receipt to status."""
        return self.ended_at - self.call.received_at

"""What the ingress seam knows about one RPC: who calls, until when, in which trace.

Owns the value and the context variable that carries it from the seam, through Ray Serve's own code, to the service
methods. Knows nothing of gRPC or protobuf.
"""

from __future__ import annotations

import dataclasses
from contextvars import ContextVar

from batching import PriorityClass
from server.grant import Grant
from server.trace_context import TraceContext


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One RPC, as seen at the seam.

    Attributes:
        method: Full method name, ``/package.Service/Method``.
        received_at: Receipt, in seconds on the monotonic clock.
        rpc_deadline: The RPC's own deadline on the monotonic clock, or None where the caller set none.
        caller: Identity used for fairness between callers and for what they own; empty where unknown. An authenticated
            caller's is not his to choose.
        routing_key: Metadata ``x-tickserve-routing-key``; empty where absent.
        trace: Its place in its caller's trace, or in one that begins here; None where neither side traces it.
        trace_id: Of that trace, 32 hexadecimal digits, as answers tell it; empty where there is none.
        owner: Whose windows it writes and reads; empty where nobody is authenticated: all share them then.
        grant: The caller's rights; None where API keys are not asked for.
        route: The HTTP route by which it came, as in ``/v1/predict``; empty for gRPC.
    """

    method: str
    received_at: float
    rpc_deadline: float | None = None
    caller: str = ""
    routing_key: str = ""
    trace_id: str = ""
    trace: TraceContext | None = None
    owner: str = ""
    grant: Grant | None = None
    route: str = ""

    @property
    def key_id(self) -> str:
        """Whose call it is beyond doubt: the API key's id, or what a certificate stands for; empty for anybody."""
        return self.owner if self.grant is None else self.grant.key_id

    def check_priority(self, priority: PriorityClass) -> None:
        """Lets a class pass that the caller may ask for.

        Raises:
            Refusal: PRIORITY_NOT_ALLOWED.
        """
        if self.grant is not None:
            self.grant.check_priority(priority)


current_call: ContextVar[Call | None] = ContextVar("tickserve_call", default=None)
"""The call being served by the running task; None where it did not come through the seam."""

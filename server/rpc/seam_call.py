"""A `Call` from what a transport knows of it: the one way for gRPC and HTTP alike. Knows no servicer context."""

from __future__ import annotations

from server.call import Call
from server.observation.sampler import Sampler
from server.security.authorizer import Admission
from server.security.edge_identity import Metadata

ROUTING_KEY = "x-tickserve-routing-key"


def call_of(
    method: str,
    metadata: Metadata,
    *,
    admission: Admission,
    sampler: Sampler,
    received_at: float,
    rpc_deadline: float | None,
    route: str = "",
) -> Call:
    """Returns what the seam knows of a call that was let in.

    Args:
        method: Full name of the contract's method.
        metadata: The call's, by lower-case name.
        admission: Who was let in.
        sampler: Places it in a trace, or in none.
        received_at: Receipt, monotonic seconds.
        rpc_deadline: Until when its client waits, monotonic seconds; None where it did not say.
        route: The HTTP route by which it came; empty for gRPC.
    """
    routing_key = _text(metadata.get(ROUTING_KEY))
    trace = sampler.place(_text(metadata.get("traceparent")))
    return Call(
        method=method,
        received_at=received_at,
        rpc_deadline=rpc_deadline,
        # Whoever is known cannot take another's name, nor another's share, by a routing key.
        caller=admission.identity or routing_key,
        owner=admission.owner,
        grant=admission.grant,
        routing_key=routing_key,
        trace_id="" if trace is None else trace.trace_id,
        trace=trace,
        route=route,
    )


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""

"""Which calls are traced that nobody before us decided about. Knows no tracing library, and no settings."""

from __future__ import annotations

import random

from server.trace_context import TraceContext, new_span_id, new_trace_id, parse_traceparent


class Sampler:
    """Places each call in a trace, or in none.

    Attributes:
        is_enabled: Whether spans are recorded at all; if not, no call is sampled, whatever its caller decided.
        ratio: Share of the calls without a trace of their caller's that begin one here, 0 to 1.
    """

    def __init__(self, ratio: float = 0.0) -> None:
        self.is_enabled = True
        self.ratio = ratio

    def place(self, traceparent: str) -> TraceContext | None:
        """Returns where a call's spans belong, by its caller's decision or, without one, by ours.

        Args:
            traceparent: As the caller sent it; empty or malformed counts as none.

        Returns:
            None for a call that neither its caller nor this side traces: most calls, which must not pay for ids.
        """
        if traceparent:
            given = parse_traceparent(traceparent, may_sample=self.is_enabled)
            if given is not None:
                return given
        if not self.is_enabled or random.random() >= self.ratio:
            return None
        return TraceContext(trace_id=new_trace_id(), span_id=new_span_id(), is_sampled=True)


process_sampler = Sampler()
"""Of this process. Ray Serve calls `ingress.add_services` itself, in the replica's process, and leaves no way to hand
it an object; so this one is shared by module."""

"""One call's place in a distributed trace: the values of W3C Trace Context, whoever records them.

Owns the value and its parsing. Knows no tracing library. https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import dataclasses
import re
import secrets

# Version, trace id, the caller's span id, flags; a later version may have more after them.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 0x01


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """Where the spans of one call, or of one item of a stream, belong.

    Attributes:
        trace_id: 32 hexadecimal digits, never all zero.
        span_id: Of our own span, 16 hexadecimal digits, never all zero.
        parent_span_id: Of the caller's span; empty where this is the root.
        is_sampled: Whether spans are recorded: the caller's decision, or ours where it made none.
    """

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    is_sampled: bool = False

    def child(self) -> TraceContext:
        """Returns the context of a new span below this one."""
        return TraceContext(
            trace_id=self.trace_id, span_id=new_span_id(), parent_span_id=self.span_id, is_sampled=self.is_sampled
        )

    def beside(self) -> TraceContext:
        """Returns the context of the root of another trace, recorded as this one is: for spans to link, not to nest."""
        return TraceContext(trace_id=new_trace_id(), span_id=new_span_id(), is_sampled=self.is_sampled)


def new_trace_id() -> str:
    """Returns a random trace id, 32 hexadecimal digits, not all zero."""
    return secrets.token_hex(16).replace("0" * 32, "0" * 31 + "1")


def new_span_id() -> str:
    """Returns a random span id, 16 hexadecimal digits, not all zero."""
    return secrets.token_hex(8).replace("0" * 16, "0" * 15 + "1")


def parse_traceparent(value: str, *, may_sample: bool = True) -> TraceContext | None:
    """Returns our span's context below a W3C `traceparent`, or None if the value is absent or malformed.

    A later version's value is read as far as version 00 defines it, as the specification asks.

    Args:
        value: Of the metadata `traceparent`.
        may_sample: Whether the caller's decision to record spans is followed.
    """
    match = _TRACEPARENT.fullmatch(value.strip().lower())
    if match is None:
        return None
    version, trace_id, parent, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None) or trace_id == _NO_TRACE or parent == _NO_SPAN:
        return None
    return TraceContext(
        trace_id=trace_id,
        span_id=new_span_id(),
        parent_span_id=parent,
        is_sampled=may_sample and bool(int(flags, 16) & _SAMPLED),
    )

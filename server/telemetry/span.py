"""One finished span as a plain value, and what makes it an error. Knows neither OTLP nor the clock on the wall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from server.trace_context import TraceContext

AttributeValue = str | bool | int | float


class Span(NamedTuple):
    """A span that has ended; times are monotonic seconds. A tuple: several are made for each request that is traced.

    Attributes:
        name: One of few: backends group by it.
        context: Where it belongs, and its own id.
        started_at: Begin.
        ended_at: End.
        attributes: By OpenTelemetry's names, or `tickserve.*`.
        is_server: Whether it is an RPC, below a caller's span if it has a parent.
        events: Names and times of what happened within it.
        links: Spans elsewhere that belong to it.
        error: Why it failed; empty where it did not, or where that was the caller's doing.
    """

    name: str
    context: TraceContext
    started_at: float
    ended_at: float
    attributes: Mapping[str, AttributeValue]
    is_server: bool = False
    events: tuple[tuple[str, float], ...] = ()
    links: tuple[TraceContext, ...] = ()
    error: str = ""

"""Reads OTLP spans as an operator would: attributes, children, and where the time of one request went."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

STAGES = ("decode", "admit", "queue", "gather", "inference", "scatter", "encode")


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Where the time of one request went, nanoseconds.

    Attributes:
        stages: By name, in order.
        remainder: What of the request's span no stage explains.
    """

    stages: dict[str, int]
    remainder: int


def attributes(of: Span | Resource) -> dict[str, str | bool | int | float]:
    """Returns the attributes of a span, or of whoever made it."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in of.attributes}


def events(span: Span) -> dict[str, int]:
    """Returns a span's events, nanoseconds since the epoch by name."""
    return {event.name: event.time_unix_nano for event in span.events}


def child(spans: Iterable[Span], parent: Span, name: str) -> Span:
    """Returns the one child of a span that has this name."""
    found = [span for span in spans if span.parent_span_id == parent.span_id and span.name == name]
    [only] = [span for span in found if span.trace_id == parent.trace_id]
    return only


def timeline(spans: Sequence[Span], request: Span) -> Timeline:
    """Rebuilds one request's timeline from nothing but its spans."""
    queue, inference = child(spans, request, "queue.wait"), child(spans, request, "inference")
    at = events(request)
    assert queue.start_time_unix_nano == at["admitted"]
    assert inference.start_time_unix_nano == at["gathered"]
    marks = [
        request.start_time_unix_nano,
        at["decoded"],
        at["admitted"],
        queue.end_time_unix_nano,
        at["gathered"],
        inference.end_time_unix_nano,
        at["scattered"],
        at["encoded"],
    ]
    stages = dict(zip(STAGES, (after - before for before, after in itertools.pairwise(marks)), strict=True))
    assert min(stages.values()) >= 0, f"stages overlap: {stages}"
    return Timeline(stages=stages, remainder=request.end_time_unix_nano - at["encoded"])


def orphans(spans: Iterable[Span], known: Iterable[str]) -> list[Span]:
    """Returns the spans whose parent is neither among the spans nor a caller's that is known.

    Args:
        spans: All spans.
        known: The callers' span ids, hexadecimal.
    """
    spans = list(spans)
    ids = {span.span_id for span in spans} | {bytes.fromhex(each) for each in known}
    return [span for span in spans if span.parent_span_id and span.parent_span_id not in ids]

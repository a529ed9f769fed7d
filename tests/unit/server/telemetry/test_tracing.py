"""Laws of spans on the wire: OTLP's ids, times, kinds and flags, and whose they are."""

import json

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from server.telemetry.span import Span
from server.telemetry.tracing import resource_of, to_otlp
from tests.support.ended_records import context
from tests.support.traces import attributes

OFFSET = 1_700_000_000_000_000_000


def test_a_span_is_written_as_it_is() -> None:
    """Ids as bytes, times since the epoch, each attribute in its own type, events and links in order."""
    trace, link = context(parent="00f067aa0ba902b7"), context(is_sampled=False)
    data = to_otlp(
        Span(
            name="a",
            context=trace,
            started_at=1.5,
            ended_at=2.0,
            attributes={"text": "x", "yes": True, "count": 3, "share": 0.5},
            events=(("first", 1.6), ("second", 1.7)),
            links=(link,),
        ),
        OFFSET,
    )
    message = trace_pb2.Span.FromString(data)
    assert (message.trace_id.hex(), message.span_id.hex()) == (trace.trace_id, trace.span_id)
    assert message.parent_span_id.hex() == "00f067aa0ba902b7"
    assert message.start_time_unix_nano == OFFSET + 1_500_000_000
    assert message.end_time_unix_nano == OFFSET + 2_000_000_000
    assert json.dumps(attributes(message)) == '{"text": "x", "yes": true, "count": 3, "share": 0.5}'
    assert [(event.name, event.time_unix_nano - OFFSET) for event in message.events] == [
        ("first", 1_600_000_000),
        ("second", 1_700_000_000),
    ]
    assert [(each.trace_id.hex(), each.flags & 1) for each in message.links] == [(link.trace_id, 0)]
    assert message.kind == trace_pb2.Span.SPAN_KIND_INTERNAL
    assert message.status.code == message.status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("is_server", "parent", "flags"),
    [(True, "00f067aa0ba902b7", 0x301), (True, "", 0x101), (False, "0" * 15 + "1", 0x101)],
)
def test_only_an_rpc_has_a_remote_parent(is_server: bool, parent: str, flags: int) -> None:
    """By which a backend tells the first span within a service."""
    span = Span("a", context(parent=parent), 1.0, 2.0, {}, is_server=is_server)
    assert trace_pb2.Span.FromString(to_otlp(span, 0)).flags == flags


def test_a_resource_is_ours_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard variables win, save over the replica's id: all replicas share one environment."""
    own = resource_of("replica-1", "node-1").attributes
    assert (own["service.name"], own["service.instance.id"], own["ray.node.id"]) == ("tickserve", "replica-1", "node-1")
    assert own["service.version"]
    assert own["host.name"]
    monkeypatch.setenv("OTEL_SERVICE_NAME", "predictions")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=n7,service.instance.id=all-the-same")
    theirs = resource_of("replica-1", "").attributes
    assert (theirs["service.name"], theirs["k8s.node.name"]) == ("predictions", "n7")
    assert theirs["service.instance.id"] == "replica-1"
    assert "ray.node.id" not in theirs

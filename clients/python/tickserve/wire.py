"""Times between Python and the wire: spans are float seconds here, instants are timezone-aware datetimes."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf import duration_pb2, timestamp_pb2

__all__ = ("from_duration", "from_timestamp", "to_duration", "to_timestamp")


def from_duration(duration: duration_pb2.Duration) -> float:
    """Gives a span in seconds; it may be negative."""
    return duration.seconds + duration.nanos * 1e-9


def to_duration(seconds: float) -> duration_pb2.Duration:
    """Gives a span on the wire, to the nanosecond.

    Raises:
        ValueError: `seconds` is not finite or does not fit 64 bits.
    """
    try:
        nanos = round(seconds * 1e9)
    except OverflowError:
        raise ValueError(f"a span must be finite, not {seconds}") from None
    # Seconds and nanoseconds must have the same sign, which floor division would not give.
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    sign = -1 if nanos < 0 else 1
    return duration_pb2.Duration(seconds=sign * whole, nanos=sign * rest)


def from_timestamp(timestamp: timestamp_pb2.Timestamp) -> datetime:
    """Gives an instant in UTC, to the microsecond."""
    return timestamp.ToDatetime(tzinfo=UTC)


def to_timestamp(instant: datetime) -> timestamp_pb2.Timestamp:
    """Gives an instant on the wire.

    Raises:
        ValueError: `instant` has no time zone, so that it could mean different times on different machines.
    """
    if instant.utcoffset() is None:
        raise ValueError(f"{instant!r} needs a time zone, as in datetime(..., tzinfo=UTC)")
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp

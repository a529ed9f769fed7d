"""Domain values of a tick session to protobuf messages. Knows nothing of sessions' rules; see `decode_ticks`."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from server.rpc.encode import write_span, write_version
from server.ticks.tick_event import Gap, Progress
from server.ticks.tick_session import TickSession
from tickserve.v1 import tick_pb2
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse


def write_opened(session: TickSession, heartbeat_interval: float) -> tick_pb2.StreamOpened:
    """Returns the answer to `open`."""
    model = session.terms.model
    return tick_pb2.StreamOpened(
        model=write_version(model),
        feature_schema=model.config.feature_schema,
        bar_interval=write_span(model.config.bar_interval_seconds),
        heartbeat_interval=write_span(heartbeat_interval),
        symbols=[
            tick_pb2.SymbolState(
                symbol=symbol,
                sequence=window.last_sequence,
                next_sequence=window.last_sequence + 1,
                have=window.have,
                need=window.need,
            )
            for symbol, window in session.windows.items()
        ],
    )


def write_progress(progress: Progress) -> tick_pb2.TickProgress:
    """Returns the acknowledgement of a tick."""
    return tick_pb2.TickProgress(
        symbol=progress.symbol,
        sequence=progress.sequence,
        have=progress.have,
        need=progress.need,
        duplicate=progress.duplicate,
    )


def write_gap(gap: Gap) -> tick_pb2.TickGap:
    """Returns the message that tells of missing ticks."""
    return tick_pb2.TickGap(
        symbol=gap.symbol,
        sequence=gap.sequence,
        first_missing_sequence=gap.first_missing,
        last_missing_sequence=gap.last_missing,
    )


def write_drain(grace: float) -> StreamTicksResponse:
    """Returns the message that asks a client to open its session anew; `grace` in seconds."""
    duration: Duration = write_span(grace)
    return StreamTicksResponse(drain=tick_pb2.StreamDrain(grace_duration=duration))


def write_durable(symbol: str, sequence: int) -> StreamTicksResponse:
    """Returns the message that confirms that a symbol survives the loss of this replica."""
    return StreamTicksResponse(durable=tick_pb2.TickDurable(symbol=symbol, sequence=sequence))


def write_heartbeat() -> StreamTicksResponse:
    """Returns a sign of life with the time."""
    heartbeat = tick_pb2.Heartbeat()
    heartbeat.send_time.GetCurrentTime()
    return StreamTicksResponse(heartbeat=heartbeat)

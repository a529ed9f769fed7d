"""What a tick stream yields, as frozen values; mirrors the answers of `StreamTicks` except its heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tickserve.errors import TickserveError, error_from_status
from tickserve.halts import ActiveHalt
from tickserve.prediction import ModelVersion, Prediction
from tickserve.v1 import prediction_service_pb2, tick_pb2
from tickserve.wire import from_duration

__all__ = (
    "Drain",
    "Durable",
    "Gap",
    "HaltNotice",
    "Opened",
    "Progress",
    "SymbolState",
    "TickEvent",
    "TickFailure",
    "TickPrediction",
    "read_event",
)


@dataclass(frozen=True, slots=True)
class SymbolState:
    """How far the service is with one symbol."""

    sequence: int
    """The last tick that was applied; 0 if none."""
    next_sequence: int
    """The tick that is expected next."""
    have: int
    """Bars applied towards the first window, at most `need`."""
    need: int
    """Bars that the first window needs: its steps and the features' warm-up."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The session is open. Always the first event."""

    model: ModelVersion
    feature_schema: str
    bar_interval: float
    """Seconds."""
    heartbeat_interval: float
    """Seconds between the service's heartbeats; 0: it did not say."""
    symbols: Mapping[str, SymbolState]
    """State by symbol, in the order in which they were opened."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A tick was applied (or had been before) and leads to no prediction."""

    symbol: str
    sequence: int
    have: int
    """Bars applied towards the first window, at most `need`."""
    need: int
    duplicate: bool
    """Whether the number had been seen before, so that the tick was not applied again."""


@dataclass(frozen=True, slots=True)
class TickPrediction:
    """The answer to one due bar, or to several where they were conflated."""

    symbol: str
    sequence: int
    """The tick that made it due."""
    first_sequence: int
    """The oldest due tick it stands for; equal to `sequence` unless conflated."""
    conflated_count: int
    """How many older pending predictions it replaced."""
    partial: bool
    """Whether the newest bar had not closed yet."""
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class TickFailure:
    """A message could not be applied, or a due prediction was refused; the stream goes on."""

    symbol: str
    """Empty where the message named none."""
    sequence: int
    """0 where there is none."""
    error: TickserveError


@dataclass(frozen=True, slots=True)
class Durable:
    """The symbol's state up to `sequence` survives the loss of the replica."""

    symbol: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Ticks, or the answers to them, are missing for good."""

    symbol: str
    sequence: int
    """The tick that revealed it."""
    first_missing_sequence: int
    last_missing_sequence: int


@dataclass(frozen=True, slots=True)
class Drain:
    """The replica stops soon: open the session anew."""

    grace_duration: float
    """How long this stream will still be served, in seconds."""


@dataclass(frozen=True, slots=True)
class HaltNotice:
    """Predictions are halted, or a halt has ended. Ticks are applied all the while.

    Halts may overlap: predictions go on when each that was told has ended.
    """

    symbol: str
    """The symbol that it is about; empty: all of the stream's."""
    halt: ActiveHalt
    resumed: bool
    """Whether the halt has ended."""


TickEvent = Opened | Progress | TickPrediction | TickFailure | Durable | Gap | Drain | HaltNotice


def read_event(message: prediction_service_pb2.StreamTicksResponse) -> TickEvent | None:
    """Reads one answer; None for a heartbeat, and for a kind that only a newer client knows."""
    match message.WhichOneof("message"):
        case "prediction":
            return _prediction(message.prediction)
        case "progress":
            progress = message.progress
            return Progress(progress.symbol, progress.sequence, progress.have, progress.need, progress.duplicate)
        case "error":
            return TickFailure(message.error.symbol, message.error.sequence, error_from_status(message.error.error))
        case "durable":
            return Durable(message.durable.symbol, message.durable.sequence)
        case "gap":
            gap = message.gap
            return Gap(gap.symbol, gap.sequence, gap.first_missing_sequence, gap.last_missing_sequence)
        case "drain":
            return Drain(from_duration(message.drain.grace_duration))
        case "halt":
            told = message.halt
            return HaltNotice(told.symbol, ActiveHalt.from_proto(told.halt), told.resumed)
        case "opened":
            return _opened(message.opened)
        case _:
            return None


def _prediction(message: tick_pb2.TickPrediction) -> TickPrediction:
    return TickPrediction(
        symbol=message.symbol,
        sequence=message.sequence,
        first_sequence=message.first_sequence,
        conflated_count=message.conflated_count,
        partial=message.partial,
        prediction=Prediction.from_proto(message.prediction),
    )


def _opened(message: tick_pb2.StreamOpened) -> Opened:
    return Opened(
        model=ModelVersion.from_proto(message.model),
        feature_schema=message.feature_schema,
        bar_interval=from_duration(message.bar_interval),
        heartbeat_interval=from_duration(message.heartbeat_interval),
        symbols={
            state.symbol: SymbolState(state.sequence, state.next_sequence, state.have, state.need)
            for state in message.symbols
        },
    )

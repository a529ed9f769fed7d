"""Tick sessions without a stream around them, for tests: opened in a line, and what they would tell written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from batching import PriorityClass
from model.bar import Bar
from server.models.served_model import ServedModel
from server.refusal import Refusal
from server.routes.routed_predictor import Assignment
from server.ticks.session_terms import SessionTerms
from server.ticks.tick_counters import TickCounters
from server.ticks.tick_event import DuePrediction, Event, Gap, ResumePoint, Tick, Trade
from server.ticks.tick_session import TickSession
from server.windows.window_store import WindowStore


@dataclass
class Heard:
    """What a session said beside its events.

    Attributes:
        durable: Symbols and sequence numbers.
        lost: Symbols.
        counters: Of the session.
    """

    durable: list[tuple[str, int]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    counters: TickCounters = field(default_factory=TickCounters)


async def open_session(
    store: WindowStore,
    model: ServedModel,
    *symbols: str,
    resume: Sequence[ResumePoint] = (),
    heard: Heard | None = None,
    **terms: Any,
) -> TickSession:
    """Returns an open session of the symbols, or of A."""
    hears = heard or Heard()
    session = TickSession(
        SessionTerms(
            assignment=Assignment(stable=model),
            priority=PriorityClass.STANDARD,
            symbols=symbols or ("A",),
            resume=resume,
            **terms,
        ),
        store,
        hears.counters,
        on_durable=lambda symbol, sequence: hears.durable.append((symbol, sequence)),
        on_lost=hears.lost.append,
    )
    await session.open()
    return session


def bar_tick(sequence: int, bar: Bar, symbol: str = "A") -> Tick:
    """Returns a bar's tick."""
    return Tick(symbol=symbol, sequence=sequence, event=bar)


def trade_tick(sequence: int, event_time: float | None, price: float = 1.1, symbol: str = "A") -> Tick:
    """Returns a trade's tick."""
    return Tick(symbol=symbol, sequence=sequence, event=Trade(price=price, size=1.0), event_time=event_time)


def refusal_of(session: TickSession, event: Tick) -> Refusal:
    """Returns how a tick is refused."""
    with pytest.raises(Refusal) as caught:
        session.apply(event)
    return caught.value


def due_of(events: Sequence[Event]) -> list[tuple[int, float | None]]:
    """Returns sequence and end of the newest bar of each prediction among events; nothing else may be there."""
    predictions = [event for event in events if isinstance(event, DuePrediction)]
    assert len(predictions) == len(events)
    return [(event.sequence, event.origin.as_of_time) for event in predictions]


def missed_by(session: TickSession) -> list[tuple[int, float | None] | tuple[int, int, str]]:
    """Returns what a returning client is told: predictions as `due_of` does, gaps as first, last and `gap`."""
    told: list[tuple[int, float | None] | tuple[int, int, str]] = []
    for event in session.missed():
        if isinstance(event, Gap):
            told.append((event.first_missing, event.last_missing, "gap"))
        else:
            told += due_of([event])
    return told

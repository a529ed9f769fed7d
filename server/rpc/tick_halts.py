"""Tells tick streams of halts that begin and end: each once, and at the opening those that are in force.

Owns which halts concern a stream, and for which of its symbols. Due predictions are refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from server.rpc.encode_halts import write_tick_halt
from server.rpc.tick_notices import TickNotices
from server.security.halt import Halt, ScopeKind
from server.security.halt_view import HaltChange, Halts
from server.ticks.session_terms import SessionTerms
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse


class ToldStream(Protocol):
    """A stream that can be told something beside its answers."""

    @property
    def terms(self) -> SessionTerms | None:
        """What its client asked for; None until it is open."""
        ...

    @property
    def notices(self) -> TickNotices[StreamTicksResponse]:
        """What it is told beside its answers."""
        ...


class TickHalts:
    """Tells.

    Args:
        halts: What is halted.
        streams: Returns the open streams.
    """

    def __init__(self, halts: Halts, streams: Callable[[], Iterable[ToldStream]]) -> None:
        self._halts = halts
        self._streams = streams
        halts.on_change(self._tell_change)

    def tell_standing(self, stream: ToldStream) -> None:
        """Tells a stream that has just opened what is halted."""
        for halt in self._halts.current:
            _tell(stream, halt, resumed=False)

    def _tell_change(self, change: HaltChange) -> None:
        for stream in list(self._streams()):
            for halt in change.begun:
                _tell(stream, halt, resumed=False)
            for halt in change.ended:
                _tell(stream, halt, resumed=True)


def _tell(stream: ToldStream, halt: Halt, *, resumed: bool) -> None:
    if stream.terms is not None and concerns(halt, stream.terms):
        symbol = halt.scope.name if halt.scope.kind is ScopeKind.SYMBOL else ""
        stream.notices.tell(write_tick_halt(halt, symbol, resumed=resumed))


def concerns(halt: Halt, terms: SessionTerms) -> bool:
    """Tells whether a halt stops predictions of a session. That of a key does not: it ends the stream."""
    scope = halt.scope
    match scope.kind:
        case ScopeKind.EVERYTHING:
            return True
        case ScopeKind.SYMBOL:
            return scope.name in terms.symbols
        case ScopeKind.MODEL:
            return any(scope.name == name and scope.version in (0, version) for name, version in _models(terms))
        case ScopeKind.KEY:
            return False


def _models(terms: SessionTerms) -> Iterator[tuple[str, int]]:
    yield terms.assignment.stable.key
    if terms.assignment.candidate is not None:
        yield terms.assignment.candidate.key

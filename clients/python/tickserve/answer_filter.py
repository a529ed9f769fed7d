"""Which answers a reader has not been given yet: what each says about the ticks that are kept, and whether it is news.

After a break the service computes again what it had not delivered, and answers again what it is sent again; the reader
must hear each answer once. Pure state; it must not know how messages are sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from tickserve.errors import InvalidRequestError, NotFoundError, PreconditionError, TickserveError
from tickserve.events import Durable, Gap, Progress, SymbolState, TickFailure, TickPrediction
from tickserve.tick_buffer import TickBuffer

__all__ = ("AnswerFilter",)

_GAPS = 64  # the newest that were told; a service that tells an older one again is heard again


class AnswerFilter:
    """Reads answers into a buffer.

    Args:
        buffer: The ticks that are kept.

    Attributes:
        taken_over: What was said of the last symbol that another stream has taken over; None: none was.
    """

    def __init__(self, buffer: TickBuffer) -> None:
        self._buffer = buffer
        self._history_due: dict[str, deque[tuple[int, bool]]] = {}
        self._gaps: deque[tuple[str, int, int]] = deque(maxlen=_GAPS)
        self.taken_over: TickserveError | None = None

    def expect_progress(self, symbol: str, sequence: int, *, swallow: bool) -> None:
        """Notes that a history was sent, which leads to a progress of its own.

        Args:
            symbol: Its symbol.
            sequence: The number that the progress will bear.
            swallow: The history was sent before, so that its progress is no news.
        """
        self._history_due.setdefault(symbol, deque()).append((sequence, swallow))

    def is_news(self, event: TickPrediction | Progress | TickFailure | Durable | Gap) -> bool:
        """Takes an answer; tells whether the reader is to hear of it."""
        if isinstance(event, TickFailure) and event.error.fields:
            self._forget_refused(event.symbol, event.error.fields[0].field)
        log = self._buffer.logs.get(event.symbol)
        if log is None:
            return True
        match event:
            case TickPrediction():
                return log.predict(event.sequence, event.prediction.input.as_of_time, partial=event.partial)
            case Progress(sequence=sequence):
                history = self._history_of(event.symbol, sequence)
                if history is not None:
                    if not self._history_due[event.symbol]:
                        self._buffer.answer_history(event.symbol)
                    return not history
                return log.answer(sequence) or sequence not in log.resent
            case TickFailure(sequence=sequence, error=error):
                if error.reason == "SYMBOL_NOT_OPEN":  # it was opened: another stream has it now
                    self.taken_over = error
                    self._buffer.forget(event.symbol)
                    return True
                # Other overload, and a halt, is of the prediction alone: its tick was applied.
                is_limited = error.reason == "RATE_LIMITED"
                refused = is_limited or isinstance(error, InvalidRequestError | PreconditionError | NotFoundError)
                refused = refused and error.reason != "HALTED"
                known = log.refuse(sequence) if refused else log.fail(sequence)
                return known or sequence not in log.resent
            case Durable(sequence=sequence):
                self._buffer.make_durable(event.symbol, sequence)
                return True
            case Gap():
                return self._is_new_gap(event)

    def reconnected(self, states: Mapping[str, SymbolState]) -> Iterator[Gap]:
        """Yields what is missing for good, before anything is sent again.

        That is ticks that the service lacks and that are not kept any more, and ticks of another stream's, which has
        taken the symbol over and is gone: their answers went there.

        Args:
            states: Where the service stands with each symbol.
        """
        self._history_due.clear()
        for symbol, state in states.items():
            log, following = self._buffer.logs[symbol], state.next_sequence
            if following <= log.dropped:
                shown_by = min((entry.sequence for entry in log), default=log.next_sequence)
                gap = Gap(symbol, shown_by, following, max(log.dropped, shown_by - 1))
            elif following > log.sent + 1:
                gap = Gap(symbol, following, log.sent + 1, following - 1)
                log.next_sequence = max(log.next_sequence, following)
            else:
                continue
            if self._is_new_gap(gap):
                yield gap

    def _is_new_gap(self, gap: Gap) -> bool:
        first, last = gap.first_missing_sequence, gap.last_missing_sequence
        if any(symbol == gap.symbol and low <= first and last <= high for symbol, low, high in self._gaps):
            return False
        self._gaps.append((gap.symbol, first, last))
        return True

    def _history_of(self, symbol: str, sequence: int) -> bool | None:
        """Gives `swallow` of the history that a progress may belong to; None: to a tick.

        Where both had one number, the first progress is taken for the history's: the tick may still wait for its
        prediction, and if it does not, it has a progress of its own.
        """
        due = self._history_due.get(symbol)
        while due and due[0][0] < sequence:  # progress comes in order, so that one has come under another number
            due.popleft()
        return due.popleft()[1] if due and due[0][0] == sequence else None

    def _forget_refused(self, symbol: str, field: str) -> None:
        """Forgets a history or a watermark that was refused: it would be refused again after each break."""
        if field.startswith("watermark"):
            self._buffer.forget_watermark()
        elif field.startswith("history"):
            self._buffer.forget_history(symbol)

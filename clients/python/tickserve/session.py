"""The state of one tick session, without any input or output: what to send next, and what an answer means.

The sync and the async stream drive the very same session. It outlives connections: after a break, `open_request` says
how far the client got, `accept` takes the service's word on how far it got itself, and `take` gives what it lacks
before anything new. It must not know channels, threads, clocks or event loops.

    connected:     tick, watermark, put_history -> take -> the wire -> read -> events
    disconnected:  tick, watermark -> kept;  then  open_request -> the wire -> accept -> take ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from tickserve.answer_filter import AnswerFilter
from tickserve.events import Drain, HaltNotice, Opened, TickEvent, read_event
from tickserve.market import Bar, MarketEvent, Trade, WindowReset, tick_message
from tickserve.priority import Priority, PriorityLike
from tickserve.request import ModelLike, model_reference
from tickserve.symbol_log import Entry, SymbolLog
from tickserve.tick_buffer import PastBars, TickBuffer
from tickserve.v1 import prediction_service_pb2, tick_pb2
from tickserve.wire import to_timestamp

__all__ = ("TickSession",)

BARS_PER_MESSAGE = 1_000  # about 60 KB: far below any message limit, few enough for the service to breathe in between
QUEUE_SIZE = 64  # enough to keep gRPC's sender busy; the service's flow control holds the writer soon behind it

Request = prediction_service_pb2.StreamTicksRequest
Response = prediction_service_pb2.StreamTicksResponse


class TickSession:
    """One session of `StreamTicks`.

    Raises:
        ValueError: No symbol, or no such priority or model.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        model: ModelLike = None,
        priority: PriorityLike = None,
        predict_every: int = 1,
        predict_partial: bool = False,
        conflate: bool = False,
        buffer_size: int = 10_000,
        max_unanswered: int = 60,
    ) -> None:
        self._open = tick_pb2.OpenStream(
            model=model_reference(model),
            priority=Priority.parse(priority).to_proto(),
            symbols=[symbols] if isinstance(symbols, str) else symbols,
            conflate=conflate,
            predict_every=predict_every,
            predict_partial=predict_partial,
        )
        if not self._open.symbols:
            raise ValueError("a tick stream needs at least one symbol")
        self._buffer_size = buffer_size
        self._max_unanswered = max_unanswered
        self._buffer: TickBuffer | None = None  # made by the first `accept`
        self._queue: deque[Request | Entry | PastBars] = deque()
        self._unopened: dict[str, int] = {}  # next numbers of symbols that are not this session's
        self._answers: AnswerFilter | None = None
        self._finished = False
        self.is_connected = False
        """Whether what is put can leave at once."""
        self.is_draining = False
        """Whether the service has asked to be left: nothing more is sent on this connection."""
        self.events: deque[TickEvent] = deque()
        """Events that the session has found out itself, to be read before the service's next."""
        self.resent_count = 0
        """Ticks that were sent again so far, or that had waited for a connection."""

    @property
    def buffered_count(self) -> int:
        """Ticks that are kept to be sent again."""
        return len(self._buffer) if self._buffer is not None else 0

    @property
    def sends_no_more(self) -> bool:
        """Whether this side of the connection may be closed."""
        return self.is_draining or self.is_complete

    @property
    def is_complete(self) -> bool:
        """Whether all has been said: `finish` was called, and everything before it has been taken."""
        return self._finished and self.is_connected and not self._queue

    def open_request(self) -> Request:
        """Gives the first message of a connection.

        Raises:
            TickserveError: Another stream has taken over all symbols.
        """
        if self._buffer is None:
            return Request(open=self._open)
        if not self._buffer.logs and self._answers is not None and self._answers.taken_over is not None:
            raise self._answers.taken_over
        request = Request(open=self._open)
        # Symbols that another stream has taken over stay its: two clients must not tear them from each other for ever.
        del request.open.symbols[:]
        request.open.symbols.extend(self._buffer.logs)
        for symbol, log in self._buffer.logs.items():
            floor, as_of_time = log.resume_point(watermarked=self._buffer.watermark_number > 0)
            point = request.open.resume.add(symbol=symbol, last_answered_sequence=floor)
            if as_of_time is not None:
                point.last_answered_as_of_time.CopyFrom(to_timestamp(as_of_time))
        return request

    def accept(self, opened: Opened) -> int:
        """Takes the service's word on where it stands with each symbol; gives how many ticks go out first."""
        self.is_connected, self.is_draining = True, False
        if self._buffer is None or self._answers is None:
            self._buffer = TickBuffer(self._buffer_size, opened.symbols, predict_every=self._open.predict_every)
            self._answers = AnswerFilter(self._buffer)
            self.events.append(opened)
            return 0
        known = {symbol: state for symbol, state in opened.symbols.items() if symbol in self._buffer.logs}
        self.events.extend(self._answers.reconnected(known))
        unsent = [message for message in self._queue if isinstance(message, Request) and not self._is_kept(message)]
        missing = self._buffer.resume(known)
        self._queue = deque((*missing, *unsent))
        count = sum(isinstance(entry, Entry) and entry.sequence > 0 for entry in missing)
        self.resent_count += count
        return count

    def disconnected(self) -> None:
        """Notes that the connection is gone; what is put from now on is kept."""
        self.is_connected = False

    def finish(self) -> None:
        """Notes that no more will be put."""
        self._finished = True

    def has_room(self, symbol: str | None = None) -> bool:
        """Tells whether a message may be put: a tick of `symbol`, or one of no symbol."""
        log = self._log(symbol) if symbol is not None else None
        if log is None or self._buffer is None:  # it is not kept, so it can only wait for a connection
            return self.is_connected and len(self._queue) < QUEUE_SIZE
        return self._buffer.has_room(log) and (not self.is_connected or len(self._queue) < QUEUE_SIZE)

    def history(self, bars: Iterable[Bar], last_sequence: int = 0) -> Iterator[tuple[list[tick_pb2.Bar], int]]:
        """Cuts past bars, oldest first, into what one message each can take; give them to `put_history`.

        Raises:
            ValueError: A bar's time has no time zone.
        """
        remaining = iter(bars)
        chunk = [bar.to_proto() for bar in islice(remaining, BARS_PER_MESSAGE)]
        while chunk:
            following = [bar.to_proto() for bar in islice(remaining, BARS_PER_MESSAGE)]
            # Only the last message may move the sequence: before it, that many bars have not been sent.
            yield chunk, 0 if following else last_sequence
            chunk = following

    def put_history(self, symbol: str, bars: list[tick_pb2.Bar], last_sequence: int) -> None:
        """Puts past bars of a symbol; there must be room for a message of no symbol."""
        log = self._log(symbol)
        if self._buffer is not None and log is not None:
            self._buffer.add_history(symbol, bars, last_sequence)
            if last_sequence:
                log.next_sequence = last_sequence + 1
        self._queue.append(Request(history=tick_pb2.BarHistory(symbol=symbol, bars=bars, last_sequence=last_sequence)))

    def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> int:
        """Numbers a tick and puts it; a number of the caller's own moves the count on. There must be room.

        A symbol that was not opened is numbered from 1 and sent: it is the service that says SYMBOL_NOT_OPEN.

        Raises:
            ValueError: The event cannot be written; no number is spent.
        """
        log = self._log(symbol)
        following = log.next_sequence if log is not None else self._unopened.get(symbol) or self._forgotten(symbol)
        number = following if sequence is None else sequence
        message = Request(
            tick=tick_message(symbol, number, event, event_time=event_time, valid_duration=valid_duration)
        )
        if log is None or self._buffer is None:
            self._unopened[symbol] = max(following, number + 1)
            self._queue.append(message)
            return number
        log.next_sequence = max(following, number + 1)
        if log.may_be_added(number):
            entry = self._buffer.add(
                log,
                number,
                message.SerializeToString(),
                one_row=not isinstance(event, Trade),
                is_reset=isinstance(event, WindowReset),
            )
            # While there is no connection nothing is queued: `accept` finds it in the buffer.
            if self.is_connected:
                self._queue.append(entry)
        elif self.is_connected:  # a repeat, or a latecomer: the service says so
            self._queue.append(message)
        return number

    def watermark(self, event_time: datetime) -> None:
        """Puts the word that no event before `event_time` will follow.

        Raises:
            ValueError: The time has no time zone.
        """
        message = Request(watermark=tick_pb2.Watermark(event_time=to_timestamp(event_time)))
        if self._buffer is not None:
            entry = self._buffer.add_watermark(message.SerializeToString())
            if self.is_connected:
                self._queue.append(entry)

    @staticmethod
    def heartbeat() -> Request:
        """Keeps the stream alive through proxies that close silent ones."""
        return Request(heartbeat=tick_pb2.Heartbeat(send_time=to_timestamp(datetime.now(UTC))))

    def take(self) -> Request | None:
        """Gives the next message for the wire; None if there is none, or nothing more is to be sent here."""
        if self.is_draining or not self.is_connected or not self._queue:
            return None
        message = self._queue[0]
        request = Request.FromString(message.data) if isinstance(message, Entry) else None
        log = self._log(request.tick.symbol) if request is not None else None
        if log is not None and isinstance(message, Entry):
            # The service can compute only so many lost answers again; more must not be on their way at a time.
            if not log.may_fly(message, self._max_unanswered):
                return None
            log.fly(message)
        self._queue.popleft()
        match message:
            case Entry():
                return request
            case PastBars():
                if (log := self._log(message.symbol)) is not None:
                    log.sent = max(log.sent, message.last_sequence)
                bars = [tick_pb2.Bar.FromString(bar) for bar in message.bars]
                if self._answers is not None:
                    self._answers.expect_progress(
                        message.symbol, message.last_sequence or message.base, swallow=message.answered
                    )
                return Request(
                    history=tick_pb2.BarHistory(symbol=message.symbol, bars=bars, last_sequence=message.last_sequence)
                )
        if message.WhichOneof("message") == "history" and self._answers is not None:
            history = message.history
            log = self._log(history.symbol)
            if log is not None:
                log.sent = max(log.sent, history.last_sequence)
                self._answers.expect_progress(history.symbol, history.last_sequence or log.sent, swallow=False)
        return message

    def read(self, message: Response) -> TickEvent | None:
        """Gives the event that an answer is to the reader; None where it is none, or was given before."""
        event = read_event(message)
        if isinstance(event, Drain):
            self.is_draining = True
        if event is None or isinstance(event, Opened | Drain | HaltNotice):
            return None if isinstance(event, Opened) else event
        return event if self._answers is None or self._answers.is_news(event) else None

    def _log(self, symbol: str) -> SymbolLog | None:
        return self._buffer.logs.get(symbol) if self._buffer is not None else None

    def _forgotten(self, symbol: str) -> int:
        return self._buffer.forgotten.get(symbol, 1) if self._buffer is not None else 1

    def _is_kept(self, message: Request) -> bool:
        """Tells whether the buffer has it, too, in its place."""
        return message.WhichOneof("message") == "history" and self._log(message.history.symbol) is not None

"""The state of one tick session, without any input or output: it numbers ticks and builds messages.

The sync and the async stream drive the very same session. It outlives a connection: whoever reconnects hands the new
`Opened` to `accept` and goes on. It must not know channels, threads or event loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from tickserve.events import Opened
from tickserve.market import Bar, MarketEvent, tick_message
from tickserve.priority import Priority, PriorityLike
from tickserve.request import ModelLike, model_reference
from tickserve.v1 import prediction_service_pb2, tick_pb2
from tickserve.wire import to_timestamp

__all__ = ("TickSession",)

BARS_PER_MESSAGE = 1_000  # about 60 KB: far below any message limit, few enough for the service to breathe in between

Request = prediction_service_pb2.StreamTicksRequest


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
        self._next_sequences: dict[str, int] = {}

    def open_request(self) -> Request:
        """Gives the first message."""
        return Request(open=self._open)

    def accept(self, opened: Opened) -> None:
        """Takes over from where the service stands with each symbol."""
        self._next_sequences = {symbol: state.next_sequence for symbol, state in opened.symbols.items()}

    def history(self, symbol: str, bars: Iterable[Bar], last_sequence: int = 0) -> Iterator[Request]:
        """Gives past bars, oldest first, in as many messages as they need.

        Raises:
            ValueError: A bar's time has no time zone.
        """
        remaining = iter(bars)
        chunk = list(islice(remaining, BARS_PER_MESSAGE))
        while chunk:
            following = list(islice(remaining, BARS_PER_MESSAGE))
            yield Request(
                history=tick_pb2.BarHistory(
                    symbol=symbol,
                    bars=[bar.to_proto() for bar in chunk],
                    # Only the last message may move the sequence: before it, that many bars have not been sent.
                    last_sequence=0 if following else last_sequence,
                )
            )
            chunk = following
        if last_sequence:
            self._next_sequences[symbol] = last_sequence + 1

    def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> tuple[int, Request]:
        """Numbers a tick and gives it; a number of the caller's own moves the count on.

        A symbol that was not opened is numbered from 1 and sent: it is the service that says SYMBOL_NOT_OPEN.

        Raises:
            ValueError: The event cannot be written; no number is spent.
        """
        following = self._next_sequences.get(symbol, 1)
        number = following if sequence is None else sequence
        message = tick_message(symbol, number, event, event_time=event_time, valid_duration=valid_duration)
        self._next_sequences[symbol] = max(following, number + 1)
        return number, Request(tick=message)

    @staticmethod
    def watermark(event_time: datetime) -> Request:
        """Tells that no event before `event_time` will follow."""
        return Request(watermark=tick_pb2.Watermark(event_time=to_timestamp(event_time)))

    @staticmethod
    def heartbeat() -> Request:
        """Keeps the stream alive through proxies that close silent ones."""
        return Request(heartbeat=tick_pb2.Heartbeat(send_time=to_timestamp(datetime.now(UTC))))

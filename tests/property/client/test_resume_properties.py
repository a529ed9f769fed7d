"""Wherever connections and replicas break, each due prediction is heard once and in order, or a gap says otherwise."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.client.tick_server_model import INTERVAL, ModelServer, Request
from tickserve import Bar, Gap, ModelVersion, Opened, SymbolState, TickEvent, TickPrediction, Trade
from tickserve.session import TickSession

SYMBOLS = ("BARS", "TRADES", "MORE")
START = 10_000


def instant(seconds: int) -> datetime:
    """Returns an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def bar(start: int, price: float) -> Bar:
    """Returns a bar that its price tells from others."""
    return Bar(instant(start), price, price, price, price)


class Drive:
    """A session and a server, with a wire between them that can be cut."""

    def __init__(
        self, server: ModelServer, *, buffer_size: int, history: int, last_sequence: int, max_unanswered: int = 60
    ) -> None:
        self.server = server
        # What the service would do if nothing ever broke, and its windows and answers knew no end.
        self.reference = ModelServer(predict_every=server.predict_every, resume_depth=10**6)
        self.session = TickSession(
            SYMBOLS, predict_every=server.predict_every, buffer_size=buffer_size, max_unanswered=max_unanswered
        )
        self.buffer_size = buffer_size
        self.wire: deque[Request] = deque()
        self.events: list[TickEvent] = []
        self.now = START
        self.bar_count = 0
        self.tick_count = 0
        self.reference.open(self.session.open_request())
        self.connect()
        past = [bar(START - (history - n) * INTERVAL, n + 1).to_proto() for n in range(history)]
        if past:
            for symbol in SYMBOLS:
                self.session.put_history(symbol, past, last_sequence)
                message = Request()
                message.history.symbol, message.history.last_sequence = symbol, last_sequence
                message.history.bars.extend(past)
                self.reference.take(message)

    def connect(self) -> None:
        """Opens the session, anew if need be."""
        request = Request.FromString(self.session.open_request().SerializeToString())
        states = {
            state.symbol: SymbolState(state.sequence, state.next_sequence, state.have, state.need)
            for state in self.server.open(request).symbols
        }
        self.session.accept(Opened(ModelVersion("m", 1, ""), "", INTERVAL, 0.0, states))
        self.read_own()

    def cut(self) -> None:
        """Loses what is on the wire, either way, and comes back."""
        self.wire.clear()
        self.server.lose_connection()
        self.session.disconnected()

    def do(self, action: str) -> None:
        """Does one thing."""
        match action.split():
            case ["tick", symbol]:
                self.tick(symbol)
            case ["watermark"]:
                self.watermark()
            case ["send"]:
                self.send()
            case ["deliver"]:
                self.deliver()
            case ["answer", symbol]:
                self.server.answer(symbol)
            case ["read"]:
                self.read()
            case ["flush", symbol]:
                self.server.flush(symbol)
            case ["lose"]:
                self.cut()
            case ["kill"]:
                self.server.lose_replica()
                self.cut()
            case ["connect"]:
                if not self.session.is_connected:
                    self.connect()
            case ["pump"]:
                for _ in range(8):
                    self.send()
                    self.deliver()
                    self.read()
            case ["drain"]:
                self.drain()
        assert self.session.buffered_count <= self.buffer_size
        assert self.session._buffer is not None
        assert self.session._buffer.watermark_count <= 2 * self.buffer_size + 64

    def tick(self, symbol: str) -> None:
        """Sends a tick, if there is room."""
        if not self.session.has_room(symbol):
            return
        self.now += 3
        self.tick_count += 1
        time = instant(self.now)
        if symbol == "BARS":
            self.bar_count += 1
            event: Any = bar(START + self.bar_count * INTERVAL, self.tick_count)
        else:
            event = Trade(self.tick_count, 1.0)
        number = self.session.tick(symbol, event, event_time=time)
        message = Request()
        message.tick.symbol, message.tick.sequence = symbol, number
        message.tick.event_time.FromDatetime(time)
        if symbol == "BARS":
            message.tick.bar.CopyFrom(event.to_proto())
        else:
            message.tick.trade.price = event.price
        self.reference.take(message)

    def watermark(self) -> None:
        """Sends a watermark, which may close a bar at once."""
        self.now += 5
        self.session.watermark(instant(self.now))
        message = Request()
        message.watermark.event_time.FromDatetime(instant(self.now))
        self.reference.take(message)

    def send(self) -> None:
        """Puts a message on the wire."""
        message = self.session.take()
        if message is not None:
            self.wire.append(message)

    def deliver(self) -> None:
        """Has a message arrive."""
        if self.wire:
            self.server.take(self.wire.popleft())

    def read(self) -> None:
        """Has an answer arrive."""
        if self.server.out and self.session.is_connected:
            event = self.session.read(self.server.out.popleft())
            if event is not None:
                self.events.append(event)
        self.read_own()

    def read_own(self) -> None:
        """Takes what the session found out itself."""
        while self.session.events:
            self.events.append(self.session.events.popleft())

    def drain(self) -> None:
        """Ends the connection in good order, as a replica that leaves does, and comes back."""
        if self.session.is_connected:
            self.settle(sending=False)
            for symbol in SYMBOLS:
                self.server.flush(symbol)
            self.settle(sending=False)
            self.server.lose_replica()
            self.cut()
            self.connect()

    def settle(self, *, sending: bool = True) -> None:
        """Goes on until nothing is left to do."""
        before = None
        while True:
            if sending:
                self.send()
            self.deliver()
            for symbol in SYMBOLS:
                self.server.answer(symbol)
            self.read()
            state = (len(self.wire), len(self.server.out), len(self.events), len(self.session._queue))
            idle = not self.wire and not self.server.out and not any(self.server.pending.values())
            if idle and (not sending or not self.session._queue):
                assert state != before or idle
                return
            before = state

    def finish(self) -> None:
        """Comes back if need be, and lets everything be answered."""
        if not self.session.is_connected:
            self.connect()
        self.settle()

    def heard(self, symbol: str) -> list[tuple[int, datetime | None, str]]:
        """Returns a symbol's predictions, as the reader heard them."""
        return [
            (event.sequence, event.prediction.input.as_of_time, event.prediction.input.sha256)
            for event in self.events
            if isinstance(event, TickPrediction) and event.symbol == symbol
        ]

    def due(self, symbol: str) -> list[tuple[int, datetime | None, str]]:
        """Returns what a reader would have heard if nothing had ever broken."""
        return [
            (
                response.prediction.sequence,
                response.prediction.prediction.input.as_of_time.ToDatetime(tzinfo=UTC),
                response.prediction.prediction.input.sha256,
            )
            for response in self.reference.pending.get(symbol, ())
        ]


ticks = st.sampled_from([f"tick {symbol}" for symbol in SYMBOLS])
actions = st.lists(
    st.one_of(
        ticks,
        ticks,
        st.sampled_from(["send", "deliver", "read"]),
        st.sampled_from(["send", "deliver", "read"]),
        st.sampled_from([f"{what} {symbol}" for what in ("answer", "flush") for symbol in SYMBOLS]),
        st.sampled_from(["watermark", "lose", "kill", "connect", "connect", "drain", "pump"]),
        st.just("pump"),
    ),
    min_size=10,
    max_size=150,
)


@settings(max_examples=400, deadline=None)
@given(
    actions, st.booleans(), st.integers(1, 3), st.integers(0, 3), st.sampled_from([0, 5]), st.sampled_from([1, 3, 60])
)
def test_each_due_prediction_is_heard_once_and_in_order(
    actions: list[str], has_store: bool, predict_every: int, history: int, last_sequence: int, max_unanswered: int
) -> None:
    """As long as the break fits the buffer and the service's depth; windows are as if nothing had ever broken."""
    server = ModelServer(resume_depth=1000, has_store=has_store, predict_every=predict_every)
    drive = Drive(server, buffer_size=1000, history=history, last_sequence=last_sequence, max_unanswered=max_unanswered)
    for action in actions:
        drive.do(action)
    drive.finish()
    assert [event for event in drive.events if isinstance(event, Gap)] == []
    for symbol in SYMBOLS:
        assert drive.heard(symbol) == drive.due(symbol)


@settings(max_examples=400, deadline=None)
@given(actions, st.booleans(), st.integers(1, 3), st.integers(1, 6), st.integers(0, 3))
def test_what_cannot_be_heard_any_more_is_a_gap(
    actions: list[str], has_store: bool, predict_every: int, buffer_size: int, resume_depth: int
) -> None:
    """However little is kept, nothing is heard twice or out of order or missing in silence, and nothing gets stuck."""
    server = ModelServer(resume_depth=resume_depth, has_store=has_store, predict_every=predict_every)
    drive = Drive(server, buffer_size=buffer_size, history=0, last_sequence=0)
    for action in actions:
        drive.do(action)
    drive.finish()
    for symbol in SYMBOLS:
        heard = [(sequence, as_of_time) for sequence, as_of_time, _ in drive.heard(symbol)]
        assert heard == sorted(set(heard))
        missing = [
            range(event.first_missing_sequence, event.last_missing_sequence + 1)
            for event in drive.events
            if isinstance(event, Gap) and event.symbol == symbol
        ]
        # A window that has lost ticks is another one, and must fill again; up to there all is as it should be.
        first = min((numbers.start for numbers in missing), default=2**63)
        assert [one for one in drive.heard(symbol) if one[0] < first] == [
            one for one in drive.due(symbol) if one[0] < first
        ]
        assert drive.session.has_room(symbol)

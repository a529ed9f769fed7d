"""A property of coming back: wherever a stream breaks, each due prediction is heard once, in order, or is in a gap.

What a client says is said twice: in one go, and to sessions that break and are resumed on one store. The first is the
truth that the second is held against.
"""

import asyncio
import dataclasses
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.models.served_model import ServedModel
from server.refusal import Refusal
from server.ticks.tick_event import Correction, DuePrediction, Event, Gap, Progress, Reset, ResumePoint, Tick
from server.ticks.tick_session import TickSession
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import served_model
from tests.support.registry import make_config, real_windows
from tests.support.sessions import bar_tick, open_session, trade_tick

HOUR, MINUTE = 3600.0, 60.0
START = 400_000 * HOUR
STEPS, WARM = 3, 62  # rows of a window, and bars before the first that is full
T, B = "T", "B"  # a symbol that is fed with trades, and one that is fed with bars


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


@dataclasses.dataclass(frozen=True)
class Past:
    """A history of a symbol, up to a time, as long as the features' warm-up and all but one row of a window."""

    symbol: str
    end: float


Message = Tick | Past | float
"""A tick, a history, or a watermark's time."""


@dataclasses.dataclass
class Reader:
    """What one client has been told, by symbol.

    Attributes:
        due: Sequence, end of the newest bar and window of each prediction.
        gaps: First and last missing number of each gap.
    """

    due: dict[str, list[tuple[int, float, bytes]]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    gaps: dict[str, list[tuple[int, int]]] = dataclasses.field(default_factory=lambda: defaultdict(list))

    def hear(self, events: Iterable[Event]) -> None:
        """Takes what it is told."""
        for event in events:
            if isinstance(event, DuePrediction):
                assert event.origin.as_of_time is not None
                self.due[event.symbol].append((event.sequence, event.origin.as_of_time, event.window.tobytes()))
            elif isinstance(event, Gap):
                self.gaps[event.symbol].append((event.first_missing, event.last_missing))

    def places(self) -> list[ResumePoint]:
        """Returns where it stands."""
        newest = {symbol: self.due[symbol][-1] if self.due[symbol] else (0, None, b"") for symbol in (T, B)}
        return [
            ResumePoint(symbol=symbol, sequence=sequence, as_of_time=time)
            for symbol, (sequence, time, _) in newest.items()
        ]


async def take(session: TickSession, message: Message) -> Iterable[Event]:
    """Applies one message."""
    match message:
        case Tick():
            return session.apply(message)
        case Past(symbol=symbol, end=end):
            bars = [priced(end - HOUR * hours, 50 + hours) for hours in range(WARM, 0, -1)]
            return await session.apply_history(symbol, bars, 0)
        case _:
            return await session.close_until(message)


def priced(start: float, number: int) -> Bar:
    """Returns a bar that differs from those of other numbers."""
    low = 1.0 + 0.01 * (number % 17)
    return Bar(open_time=start, open=low + 0.01, high=low + 0.03, low=low, close=low + 0.02, volume=number % 5)


async def compose(session: TickSession, steps: Sequence[tuple[str, int]], reader: Reader) -> list[Message]:
    """Returns the messages of a client, each as it was taken in one go by a session, whose events a reader hears."""
    messages: list[Message] = []
    now = dict.fromkeys((T, B), START)

    async def say(message: Message) -> None:
        try:
            reader.hear(await take(session, message))
        except Refusal:
            return  # a late trade, or nothing to correct: refused in one go, and so not said at all
        messages.append(message)

    for symbol in (T, B):
        await say(Past(symbol, now[symbol]))
    for number, (kind, amount) in enumerate(steps):
        symbol = B if kind == "bar" or (kind in ("correct", "reset") and amount == 0) else T
        window = session.windows[symbol]
        sequence = window.last_sequence + 1
        if kind == "trade":
            await say(trade_tick(sequence, now[T] + amount * MINUTE, 1.0 + 0.001 * number, T))
            now[T] += max(0, amount) * MINUTE
        elif kind == "watermark":
            await say(now[T] + amount * MINUTE)
        elif kind == "bar":
            for more in range(amount):
                await say(bar_tick(sequence + more, priced(now[B], number + more), B))
                now[B] += HOUR
        elif kind == "correct" and window.as_of_time is not None:
            bar = priced(window.as_of_time - HOUR, number)
            await say(Tick(symbol=symbol, sequence=sequence, event=Correction(bar)))
        elif kind == "reset":
            await say(Tick(symbol=symbol, sequence=sequence, event=Reset()))
            now[symbol] = HOUR * (now[symbol] // HOUR + 1)
            await say(Past(symbol, now[symbol]))
    return messages


async def interrupted(
    store: MemoryWindowStore,
    model: ServedModel,
    messages: Sequence[Message],
    plan: Sequence[tuple[int, bool, int]],
    reader: Reader,
    **terms: Any,
) -> TickSession:
    """Says the messages again, to sessions that break; returns the last of these.

    Args:
        store: Outlives the sessions.
        model: Of all of them.
        messages: To be said.
        plan: After each message, again and again: how many predictions are heard, whether the stream breaks then, so
            that the others are lost on their way, and how many messages are said again if it does.
        reader: Hears the events.
        terms: Others of the sessions.
    """
    session = await open_session(store, model, T, B, **terms)
    on_the_way: deque[Event] = deque()
    for index, (message, (heard, breaks, overlap)) in enumerate(zip(messages, cycle(plan), strict=False)):
        on_the_way.extend(event for event in await take(session, message) if not isinstance(event, Progress))
        reader.hear(on_the_way.popleft() for _ in range(min(heard, len(on_the_way))))
        if breaks:
            broken = session
            session = await open_session(store, model, T, B, resume=reader.places(), **terms)
            broken.close()  # later than the client came back
            on_the_way = deque(session.missed())
            for earlier in messages[max(0, index + 1 - overlap) : index + 1]:
                if isinstance(earlier, Tick):
                    assert [getattr(event, "duplicate", False) for event in session.apply(earlier)] == [True]
    reader.hear(on_the_way)
    return session


def shown(session: TickSession) -> list[object]:
    """Returns all that a session's windows show of themselves."""
    return [
        (
            window.last_sequence,
            window.as_of_time,
            window.row_count,
            window.window().tobytes() if window.is_full() else b"",
            None if (partial := window.partial_window()) is None else partial.tobytes(),
        )
        for window in session.windows.values()
    ]


NOTHING_IS_HEARD = [(0, True, 0)]
TWO_BARS_CLOSE = [("trade", 60), ("trade", 60), ("trade", 60), ("watermark", 0)]
ONE_OF_TWO_IS_HEARD = [*[(0, False, 0)] * 5, (1, True, 0)]
STEP = st.one_of(
    st.tuples(st.just("trade"), st.integers(-90, 150)),
    st.tuples(st.just("trade"), st.integers(20, 90)),
    st.tuples(st.just("bar"), st.sampled_from([1, 2, 40])),
    st.tuples(st.just("watermark"), st.integers(-90, 90)),
    st.tuples(st.sampled_from(["correct", "reset"]), st.integers(0, 1)),
)


@given(
    steps=st.lists(STEP, min_size=4, max_size=30),
    plan=st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 3]), st.sampled_from([False, False, False, True]), st.integers(0, 5)),
        min_size=1,
        max_size=30,
    ),
    depth=st.sampled_from([0, 1440]),
    predict_every=st.integers(1, 2),
)
@example(steps=[("bar", 40), ("reset", 0)], plan=NOTHING_IS_HEARD, depth=1440, predict_every=1)
@example(steps=[("bar", 1), ("correct", 0), ("correct", 0)], plan=NOTHING_IS_HEARD, depth=0, predict_every=1)
@example(steps=[("bar", 40), ("bar", 40)], plan=NOTHING_IS_HEARD, depth=0, predict_every=1)
@example(steps=TWO_BARS_CLOSE, plan=ONE_OF_TWO_IS_HEARD, depth=0, predict_every=1)
@settings(deadline=None, max_examples=150)
def test_each_due_prediction_is_heard_once_in_order_or_is_in_a_gap(
    steps: list[tuple[str, int]], plan: list[tuple[int, bool, int]], depth: int, predict_every: int
) -> None:
    """Whatever is said, wherever it breaks and however often; and the windows are, bit for bit, those of one go."""
    config = make_config()
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, time_steps=STEPS))
    model = served_model(config=config)
    window_settings = WindowSettings(resume_depth=depth, lateness_bound=2 * HOUR)
    expected, reader = Reader(), Reader()

    async def run() -> tuple[TickSession, TickSession]:
        whole, broken = (MemoryWindowStore(window_settings, max_symbols=2) for _ in range(2))
        session = await open_session(whole, model, T, B, predict_every=predict_every)
        messages = await compose(session, steps, expected)
        return session, await interrupted(broken, model, messages, plan, reader, predict_every=predict_every)

    one_go, last = asyncio.run(run())
    assert shown(last) == shown(one_go)
    assert not expected.gaps[T] + expected.gaps[B]
    for symbol in (T, B):
        due, heard = expected.due[symbol], reader.due[symbol]
        places = [due.index(one) for one in heard]  # of the very same window
        assert places == sorted(set(places))
        for sequence, time, _ in (one for index, one in enumerate(due) if index not in places):
            # Several bars of one watermark have one number: a gap may begin in the middle of it.
            shared = any(one[0] == sequence and one[1] < time for one in heard)
            assert any(first - shared <= sequence <= final for first, final in reader.gaps[symbol])
        if depth and not {"correct", "reset"} & {kind for kind, _ in steps}:
            assert len(heard) == len(due)
            assert not reader.gaps[symbol]

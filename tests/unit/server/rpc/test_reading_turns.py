"""Laws of reading turns: nobody who waits is passed over, and the event loop has its turn between them."""

import asyncio

from server.rpc.reading_turns import ReadingTurns
from tests.support.fakes import settle


class Clock:
    """Moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def _read(name: str, turns: ReadingTurns, clock: Clock, log: list[str], count: int, cost: float) -> None:
    for _ in range(count):
        await turns.turn()
        log.append(name)
        clock.now += cost


async def test_streams_take_turns() -> None:
    """However much one has to be read."""
    clock, log = Clock(), list[str]()
    turns = ReadingTurns(clock)
    await asyncio.gather(*(_read(name, turns, clock, log, 5, 0.001) for name in "abc"))
    assert log == ["a", "b", "c"] * 5


async def test_dear_messages_take_no_more_time_than_cheap_ones() -> None:
    """It is time that is shared out: a stream of cheap messages has more of them read."""
    clock, spent = Clock(), {"cheap": 0.0, "dear": 0.0}
    turns = ReadingTurns(clock)

    async def read(name: str, cost: float) -> None:
        while clock.now < 1.0:
            await turns.turn()
            clock.now += cost
            spent[name] += cost

    await asyncio.gather(read("cheap", 0.00005), read("dear", 0.0005))
    assert 0.4 < spent["cheap"] < 0.6


async def test_others_have_their_turn_between_messages() -> None:
    """What becomes ready while two streams have much to be read waits for one message, not for all of them."""
    clock, log = Clock(), list[str]()
    turns = ReadingTurns(clock)
    readers = [asyncio.ensure_future(_read(name, turns, clock, log, 100, 0.0002)) for name in "ab"]
    for _ in range(10):
        before = len(log)
        await asyncio.sleep(0)
        assert len(log) - before <= 1 + 5  # what a slice holds of a stream that is alone
    await asyncio.gather(*readers)
    assert sorted(log) == ["a"] * 100 + ["b"] * 100


async def test_one_alone_reads_a_slice_at_once() -> None:
    """It need not wait for a turn of the loop with each message."""
    clock, log = Clock(), list[str]()
    turns = ReadingTurns(clock)
    reader = asyncio.ensure_future(_read("a", turns, clock, log, 50, 0.0001))
    seen = []
    while not reader.done():
        seen.append(len(log))
        await asyncio.sleep(0)
    most = max(after - before for before, after in zip(seen, [*seen[1:], len(log)], strict=True))
    assert 5 <= most <= 6
    assert len(log) == 50


async def test_who_goes_is_passed_over() -> None:
    """A stream that ended while it waited takes nobody's turn."""
    clock, log = Clock(), list[str]()
    turns = ReadingTurns(clock)
    readers = {name: asyncio.ensure_future(_read(name, turns, clock, log, 1, 0.0)) for name in "abc"}
    await asyncio.sleep(0)
    readers["a"].cancel()
    await settle()
    assert log == ["b", "c"]

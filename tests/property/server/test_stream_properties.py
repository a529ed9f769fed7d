"""Properties of a stream's answering half under any interleaving: complete, unique and bounded."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from server.rpc.response_stream import ResponseStream
from tests.support.fakes import settle

# What the reader does next: how (at once, later, or a place given back), after how many turns, and how long it takes.
STEPS = st.lists(
    st.tuples(st.sampled_from(("put", "later", "release")), st.integers(0, 3), st.integers(0, 12)), max_size=25
)


@given(
    steps=STEPS,
    limit=st.integers(1, 5),
    pauses=st.lists(st.integers(0, 6), min_size=25, max_size=25),
    fails=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_every_message_is_answered_once(
    steps: list[tuple[str, int, int]], limit: int, pauses: list[int], fails: bool
) -> None:
    """Whatever the pace of reader, work and client: no answer is lost or doubled, and no more than the limit waits."""

    async def run() -> None:
        stream: ResponseStream[int] = ResponseStream(max_in_flight=limit)
        taken, sent = 0, list[int]()

        async def work(number: int, turns: int) -> int:
            await settle(turns)
            return number

        async def read() -> None:
            nonlocal taken
            for number, (kind, before, turns) in enumerate(steps):
                await settle(before)
                await stream.reserve()
                if kind == "release":
                    stream.release()
                    continue
                taken += 1
                # The one on its way to the client still holds its place.
                assert taken - len(sent) <= limit + 1
                if kind == "put":
                    stream.put(number)
                else:
                    stream.put_later(work(number, turns))
            if fails:
                raise ConnectionError

        failed = False
        try:
            async for number in stream.run(read()):
                sent.append(number)
                await settle(pauses[len(sent) - 1])
        except ConnectionError:
            failed = True
        assert failed == fails
        assert sorted(sent) == [number for number, (kind, _, _) in enumerate(steps) if kind != "release"]
        at_once = [number for number in sent if steps[number][0] == "put"]
        assert at_once == sorted(at_once)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


@given(steps=STEPS, limit=st.integers(1, 5), leaves_after=st.integers(0, 10))
@settings(deadline=None, max_examples=100)
def test_leaving_at_any_time_leaves_nothing(steps: list[tuple[str, int, int]], limit: int, leaves_after: int) -> None:
    """A client that goes at any moment takes every task with it."""

    async def run() -> None:
        stream: ResponseStream[int] = ResponseStream(max_in_flight=limit)

        async def work(number: int, turns: int) -> int:
            await settle(turns)
            return number

        async def read() -> None:
            for number, (_, before, turns) in enumerate(steps):
                await settle(before)
                await stream.reserve()
                stream.put_later(work(number, turns))
            await asyncio.Event().wait()

        async def listen() -> None:
            async for _ in stream.run(read()):
                await settle(1)

        listening = asyncio.create_task(listen())
        await settle(leaves_after)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await settle()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


# How a party asks for places: for how many bytes, after how many turns, how it uses each, and for how long.
CLAIMS = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(1, 120)),
        st.integers(0, 3),
        st.sampled_from(("put", "later", "release")),
        st.integers(0, 8),
    ),
    max_size=10,
)


@given(
    parties=st.lists(CLAIMS, min_size=1, max_size=4),
    limit=st.integers(1, 4),
    byte_limit=st.integers(1, 150),
    gives_up=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=3),
    pauses=st.lists(st.integers(0, 4), min_size=40, max_size=40),
)
@settings(deadline=None, max_examples=150)
def test_bytes_and_places_are_bounded_whoever_asks_and_goes(
    parties: list[list[tuple[int, int, str, int]]],
    limit: int,
    byte_limit: int,
    gives_up: list[tuple[int, int]],
    pauses: list[int],
) -> None:
    """Several parties ask, some are cancelled: never too much at once, and all of it is given back."""

    async def run() -> None:
        stream: ResponseStream[int] = ResponseStream(max_in_flight=limit, max_in_flight_bytes=byte_limit)
        holding: dict[int, int] = {}  # what was let in and is not sent: its size
        put, sent = set[int](), list[int]()

        def check() -> None:
            assert stream.in_flight <= limit
            sizes = [size for size in holding.values() if size]
            assert sum(sizes) <= byte_limit or len(sizes) == 1

        async def work(number: int, turns: int) -> int:
            await settle(turns)
            return number

        async def ask(party: int, claims: list[tuple[int, int, str, int]]) -> None:
            for index, (size, before, kind, turns) in enumerate(claims):
                await settle(before)
                number = 100 * party + index
                await stream.reserve(size)
                if kind == "release":
                    stream.release()
                    continue
                holding[number] = size
                check()
                put.add(number)
                if kind == "put":
                    stream.put(number)
                else:
                    stream.put_later(work(number, turns))

        async def read() -> None:
            tasks = [asyncio.create_task(ask(party, claims)) for party, claims in enumerate(parties)]

            async def leave(party: int, turns: int) -> None:
                await settle(turns)
                tasks[party % len(tasks)].cancel()

            await asyncio.gather(*(leave(*one) for one in gives_up), *tasks, return_exceptions=True)

        async for number in stream.run(read()):
            sent.append(number)
            await settle(pauses[len(sent) - 1])
            check()
            del holding[number]
        assert (stream.in_flight, stream.in_flight_bytes) == (0, 0)
        assert sorted(sent) == sorted(put)

    asyncio.run(asyncio.wait_for(run(), 30))

"""Laws of a stream's answering half: bounded, complete, and over when it is over."""

import asyncio
import gc

import pytest

from server.rpc.response_stream import ResponseStream
from tests.support.fakes import settle


async def collect(stream: ResponseStream[str], reading: object) -> list[str]:
    """Returns all responses of a stream."""
    return [response async for response in stream.run(reading)]  # type: ignore[arg-type]  # a coroutine


def pending_tasks() -> set[asyncio.Task[object]]:
    """Returns the tasks that are not done, save the running one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_ready_responses_come_in_order() -> None:
    """What is put at once keeps its order."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)

    async def read() -> None:
        for name in "abc":
            await stream.reserve()
            stream.put(name)

    assert await collect(stream, read()) == ["a", "b", "c"]


async def test_work_is_answered_as_it_becomes_ready() -> None:
    """A slow answer holds up no quick one."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)
    slow = asyncio.Event()

    async def work(name: str) -> str:
        if name == "slow":
            await slow.wait()
        else:
            slow.set()
        return name

    async def read() -> None:
        for name in ("slow", "quick"):
            await stream.reserve()
            stream.put_later(work(name))

    assert await collect(stream, read()) == ["quick", "slow"]


async def test_half_closing_waits_for_pending_work() -> None:
    """The stream ends when all that was read is answered, not when the reading ends."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return "late"

    async def read() -> None:
        await stream.reserve()
        stream.put_later(work())

    collecting = asyncio.create_task(collect(stream, read()))
    await settle()
    assert not collecting.done()
    gate.set()
    assert await collecting == ["late"]


async def test_a_slow_reader_stops_the_reading() -> None:
    """Never more than `max_in_flight` messages are taken in and not sent; each one sent lets one more in."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=3)
    taken = 0

    async def read() -> None:
        nonlocal taken
        for number in range(10):
            await stream.reserve()
            taken += 1
            stream.put(str(number))

    sent = 0
    async for _ in stream.run(read()):
        await settle()
        assert taken <= sent + 3  # the one being sent still holds its place
        sent += 1
    assert (sent, taken) == (10, 10)


async def test_released_places_are_taken_again() -> None:
    """A place without a response is given back."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)

    async def read() -> None:
        for _ in range(5):
            await stream.reserve()
            stream.release()
        await stream.reserve()
        stream.put("last")

    assert await collect(stream, read()) == ["last"]


async def test_several_may_wait_for_a_place() -> None:
    """Whoever waits gets one in the end: the reader and the heartbeats."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)

    async def put(name: str) -> None:
        await stream.reserve()
        stream.put(name)

    async def read() -> None:
        await asyncio.gather(*(put(name) for name in "abcde"))

    assert sorted(await collect(stream, read())) == list("abcde")


async def test_the_readers_error_comes_after_what_is_ready() -> None:
    """Answers to what was read before the failure are not lost."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)

    async def work() -> str:
        await settle(3)
        return "later"

    async def read() -> None:
        await stream.reserve()
        stream.put("ready")
        await stream.reserve()
        stream.put_later(work())
        raise ValueError("broken")

    responses = stream.run(read())
    assert [await anext(responses), await anext(responses)] == ["ready", "later"]
    with pytest.raises(ValueError, match="broken"):
        await anext(responses)


async def test_a_stream_without_messages_ends() -> None:
    """Nothing in, nothing out."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)

    async def read() -> None:
        return

    assert await collect(stream, read()) == []


async def test_abandoning_ends_every_task() -> None:
    """When the client goes, the reader and all pending work are cancelled before the closing returns."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)
    cancelled = []

    async def work(name: str) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise
        return name

    async def read() -> None:
        await stream.reserve()
        stream.put("first")
        for name in "ab":
            await stream.reserve()
            stream.put_later(work(name))
        await work("reader")

    running = stream.run(read())
    assert await anext(running) == "first"
    await settle()
    await running.aclose()
    assert sorted(cancelled) == ["a", "b", "reader"]
    assert not pending_tasks()


async def test_work_that_never_began_is_closed() -> None:
    """Cancelling a task before its first step leaves no coroutine that nobody awaited."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)

    async def work() -> str:
        return ""

    await stream.reserve()
    stream.put_later(work())
    [task] = stream._pending
    task.cancel()
    await settle()
    del task
    gc.collect()  # a warning here fails the test
    assert not pending_tasks()


async def test_cancelled_work_does_not_hang_the_stream() -> None:
    """A task that is cancelled from outside sends nothing, and the stream ends without it."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)

    async def work() -> str:
        await asyncio.Event().wait()
        return ""

    async def read() -> None:
        await stream.reserve()
        stream.put_later(work())

    collecting = asyncio.create_task(collect(stream, read()))
    await settle()
    [task] = stream._pending
    task.cancel()
    assert await asyncio.wait_for(collecting, 5) == []


async def test_cancelling_the_writer_ends_every_task() -> None:
    """Ray Serve cancels the task that iterates: the reader goes with it."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10)

    async def read() -> None:
        await asyncio.Event().wait()

    collecting = asyncio.create_task(collect(stream, read()))
    await settle()
    collecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await collecting
    await settle()
    assert not pending_tasks()


async def read_sizes(stream: ResponseStream[str], sizes: list[int], taken: list[int]) -> None:
    """Reserves a place for each size and puts an answer; notes which were let in."""
    for size in sizes:
        await stream.reserve(size)
        taken.append(size)
        stream.put(str(size))


async def test_bytes_are_bounded_as_messages_are() -> None:
    """A message waits while it would exceed the bytes, though there are places; what is sent makes room."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10, max_in_flight_bytes=100)
    taken: list[int] = []
    responses = stream.run(read_sizes(stream, [60, 40, 1, 90], taken))
    assert await anext(responses) == "60"
    await settle()
    assert (taken, stream.in_flight, stream.in_flight_bytes) == ([60, 40], 2, 100)
    assert await anext(responses) == "40"
    await settle()
    assert (taken, stream.in_flight_bytes) == ([60, 40, 1], 41)
    assert [response async for response in responses] == ["1", "90"]
    assert (stream.in_flight, stream.in_flight_bytes) == (0, 0)


async def test_one_message_always_fits() -> None:
    """A message above the bound is taken alone; what has no size waits for no bytes."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10, max_in_flight_bytes=100)
    taken: list[int] = []
    responses = stream.run(read_sizes(stream, [500, 0, 1, 500], taken))
    assert await anext(responses) == "500"
    await settle()
    assert taken == [500, 0]
    assert [response async for response in responses] == ["0", "1", "500"]


async def test_the_large_are_not_overtaken() -> None:
    """Places go to whoever asked first: small messages that would fit wait behind a large one."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10, max_in_flight_bytes=100)
    order: list[int] = []

    async def put(size: int) -> None:
        await read_sizes(stream, [size], order)

    async def read() -> None:
        await asyncio.gather(*(put(size) for size in (50, 80, 10, 0)))

    assert await collect(stream, read()) == ["50", "80", "10", "0"]
    assert order == [50, 80, 10, 0]


async def test_a_waiter_that_goes_lets_others_pass() -> None:
    """Cancelling who waits for a place takes none, and nobody waits for it."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=10, max_in_flight_bytes=100)
    await stream.reserve(50)
    large, small = asyncio.create_task(stream.reserve(80)), asyncio.create_task(stream.reserve(10))
    await settle()
    assert not small.done()
    large.cancel()
    await settle()
    assert small.done()
    assert (stream.in_flight, stream.in_flight_bytes) == (2, 60)


async def test_a_waiter_that_goes_when_granted_gives_back() -> None:
    """A place that was granted in the very turn in which its waiter is cancelled is free for the next."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)
    await stream.reserve(5)
    first, second = asyncio.create_task(stream.reserve(7)), asyncio.create_task(stream.reserve(9))
    await settle()
    stream.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert (stream.in_flight, stream.in_flight_bytes) == (1, 9)


async def test_a_waiter_cancelled_before_the_grant_is_passed_over() -> None:
    """A place that becomes free in the very turn in which its waiter is cancelled goes to the next."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)
    await stream.reserve(5)
    first, second = asyncio.create_task(stream.reserve(7)), asyncio.create_task(stream.reserve(9))
    await settle()
    first.cancel()
    stream.release()
    await settle()
    assert second.done()
    assert (stream.in_flight, stream.in_flight_bytes) == (1, 9)


async def test_work_that_sends_nothing_gives_its_place_back() -> None:
    """A task that is cancelled from outside keeps neither place nor bytes from the rest of its stream."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1, max_in_flight_bytes=100)

    async def work() -> str:
        await asyncio.Event().wait()
        return ""

    async def read() -> None:
        await stream.reserve(100)
        stream.put_later(work())
        await stream.reserve(100)
        stream.put("next")

    collecting = asyncio.create_task(collect(stream, read()))
    await settle()
    [task] = stream._pending
    task.cancel()
    assert await asyncio.wait_for(collecting, 5) == ["next"]
    assert (stream.in_flight, stream.in_flight_bytes) == (0, 0)


async def test_spawned_work_is_a_part_of_the_stream() -> None:
    """What is spawned reserves places of its own, and the stream ends only after it."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)
    gate = asyncio.Event()

    async def tell() -> None:
        await gate.wait()
        await stream.reserve()
        stream.put("told")

    async def read() -> None:
        stream.spawn(tell())
        await stream.reserve()
        stream.put("answered")

    collecting = asyncio.create_task(collect(stream, read()))
    await settle()
    assert not collecting.done()
    gate.set()
    assert await collecting == ["answered", "told"]

"""Laws of a stream that is ended with an error: last words, then the error; nothing else, and no task is left."""

import asyncio

import pytest

from server.rpc.response_stream import ResponseStream


async def listen(stream: ResponseStream[str], reading: object) -> tuple[list[str], BaseException | None]:
    """Returns what a client hears, and how the stream ends."""
    heard: list[str] = []
    try:
        async for response in stream.run(reading):  # type: ignore[arg-type]  # a coroutine
            heard.append(response)  # noqa: PERF401 - what was heard before the error counts
    except RuntimeError as error:
        return heard, error
    return heard, None


async def test_what_is_ready_or_in_flight_is_not_sent() -> None:
    """Its places are given back; what becomes ready later is not sent either."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=4)
    never, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            await never.wait()
        finally:
            cancelled.set()
        return "late"

    async def read() -> None:
        await stream.reserve()
        stream.put_later(work())
        await stream.reserve(7)
        await asyncio.sleep(0)
        stream.put("ready")
        stream.stop(RuntimeError("revoked"), "last words")
        stream.stop(RuntimeError("again"), "more words")
        await stream.reserve()
        stream.put("after")
        await never.wait()

    heard, error = await asyncio.wait_for(listen(stream, read()), 60)
    assert (heard, str(error)) == (["last words"], "revoked")
    assert cancelled.is_set()
    assert (stream.in_flight, stream.in_flight_bytes) == (0, 0)


async def test_a_stream_that_waits_is_woken() -> None:
    """It need not hear from its client first."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)
    task = asyncio.create_task(listen(stream, asyncio.Event().wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stream.stop(RuntimeError("revoked"))
    heard, error = await asyncio.wait_for(task, 60)
    assert (heard, str(error)) == ([], "revoked")


@pytest.mark.parametrize("reserved", [0, 1])
async def test_a_full_stream_still_says_its_last_words(reserved: int) -> None:
    """They need no place."""
    stream: ResponseStream[str] = ResponseStream(max_in_flight=1)

    async def read() -> None:
        for _ in range(reserved):
            await stream.reserve()
        stream.stop(RuntimeError("revoked"), "last words")
        await asyncio.Event().wait()

    assert (await asyncio.wait_for(listen(stream, read()), 60))[0] == ["last words"]

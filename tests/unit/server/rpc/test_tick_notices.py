"""Laws of what a stream is told beside its answers: bounded by symbols, each thing once, and over with the stream."""

import asyncio

from server.rpc.response_stream import ResponseStream
from server.rpc.tick_notices import TickNotices
from tests.support.fakes import settle


def notices_of(responses: ResponseStream[str]) -> TickNotices[str]:
    """Returns notices whose words on what is durable are symbol and number."""
    return TickNotices(responses, lambda symbol, sequence: f"{symbol}{sequence}")


async def test_only_the_newest_word_on_a_symbol_waits() -> None:
    """Other notices come first and are never replaced; what is lost is not durable any more."""
    responses: ResponseStream[str] = ResponseStream(max_in_flight=1)
    notices = notices_of(responses)

    async def read() -> None:
        await responses.reserve()
        responses.put("answer")
        for sequence in range(100):
            notices.durable("A", sequence)
            notices.durable("B", sequence)
            notices.durable("C", sequence)
            await asyncio.sleep(0)
        notices.tell("drain")
        notices.lost("B", "lost")

    told = []
    async for response in responses.run(read()):
        told.append(response)
        await settle(300)
    assert told == ["answer", "drain", "lost", "A99", "C99"]


async def test_what_is_told_while_a_stream_ends_ends_with_it() -> None:
    """A task that begins while the others are ended would wait for a place for ever."""
    responses: ResponseStream[str] = ResponseStream(max_in_flight=1)
    notices = notices_of(responses)

    async def read() -> None:
        await responses.reserve()
        responses.put("answer")
        try:
            await asyncio.Event().wait()
        finally:
            notices.tell("late")

    stream = responses.run(read())
    assert await anext(stream) == "answer"
    await settle()
    await stream.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}

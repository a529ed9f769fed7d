"""Many calls are accepted in one turn of the event loop, on a real grpc.aio server."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from server.rpc import acceptors
from server.rpc.acceptors import Acceptors

pytestmark = pytest.mark.timeout(60)
_CALLS = 32
_BUSY = 1.0
_TURN = 0.003
_LONG = b"for ever"


class Served:
    """What was served, and in which turn of the loop."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.turn = 0
        self.cancelled = asyncio.Event()

    async def count_turns(self) -> None:
        """Counts, for ever, and makes turns last as under load: empty ones pass faster than calls are handed over."""
        while True:
            self.turn += 1
            time.sleep(_TURN)  # noqa: ASYNC251 - the loop is to be busy
            await asyncio.sleep(0)

    async def echo(self, request: bytes, context: Any) -> bytes:
        """Answers with the request; never where it is `_LONG`."""
        del context
        self.turns.append(self.turn)
        if request == _LONG:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return request


@asynccontextmanager
async def served(count: int) -> AsyncIterator[tuple[str, Served, Acceptors]]:
    """Yields a server's address, what it serves, and its acceptors, all of them waiting."""
    server, state = grpc.aio.server(), Served()
    handler = grpc.method_handlers_generic_handler("Echo", {"Say": grpc.unary_unary_rpc_method_handler(state.echo)})
    server.add_generic_rpc_handlers((handler,))
    accepting = Acceptors(server, [(handler,)], count=count)
    assert accepting.start()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.sleep(0.2)  # until the acceptors have found it running
    counting = asyncio.create_task(state.count_turns())
    try:
        yield f"127.0.0.1:{port}", state, accepting
    finally:
        counting.cancel()
        await server.stop(None)


async def turns_for_calls_that_piled_up(count: int) -> int:
    """Returns over how many turns calls were begun that had come while the loop was busy."""
    async with served(count) as (target, state, _):
        with grpc.insecure_channel(target) as channel, ThreadPoolExecutor(_CALLS) as pool:
            say: Any = channel.unary_unary("/Echo/Say")
            await asyncio.to_thread(say, b"first")  # connected
            state.turns.clear()
            calls = [pool.submit(say, b"%d" % number, timeout=30) for number in range(_CALLS)]
            time.sleep(_BUSY)  # noqa: ASYNC251 - the loop is to be busy
            answers = await asyncio.gather(*map(asyncio.wrap_future, calls))
    assert sorted(map(int, answers)) == list(range(_CALLS))
    assert len(state.turns) == _CALLS
    return max(state.turns) - min(state.turns)


async def test_calls_that_piled_up_are_seen_in_few_turns() -> None:
    """So the scheduler sees them all before it answers the first; alone gRPC needs at least a turn for each."""
    assert await turns_for_calls_that_piled_up(count=_CALLS) < _CALLS / 2
    assert await turns_for_calls_that_piled_up(count=0) >= _CALLS - 1


async def turns_to_one_call(count: int) -> float:
    """Returns after how many turns a call is begun, from its sending on; the middle one of several."""
    async with served(count) as (target, state, _):
        with grpc.insecure_channel(target) as channel:
            say: Any = channel.unary_unary("/Echo/Say")

            def call() -> int:
                sent = state.turn
                say(b"now", timeout=30)
                return state.turns[-1] - sent

            await asyncio.to_thread(call)  # connected
            return statistics.median([await asyncio.to_thread(call) for _ in range(15)])


async def test_a_call_waits_for_fewer_turns() -> None:
    """Under load a turn lasts for milliseconds, and what is urgent has not been seen yet."""
    assert await turns_to_one_call(count=4) <= await turns_to_one_call(count=0) - 1


async def test_a_call_ends_with_its_client() -> None:
    """One that is given up is cancelled, and others are accepted as ever: no acceptor goes with it."""
    async with served(1) as (target, state, accepting), grpc.aio.insecure_channel(target) as channel:
        say: Any = channel.unary_unary("/Echo/Say")
        for _ in range(3):
            state.cancelled.clear()
            call = say(_LONG)
            while not state.turns:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            call.cancel()
            async with asyncio.timeout(30):
                await state.cancelled.wait()
            state.turns.clear()
        assert await say(b"still here", timeout=30) == b"still here"
        assert len(accepting._tasks) >= 1


async def test_they_end_with_the_server() -> None:
    """A server that stops is waited for by nobody."""
    async with served(8) as (_, _, accepting):
        assert len(accepting._tasks) == 8
    await asyncio.sleep(0.1)
    assert not accepting._tasks


async def test_a_version_that_was_not_tried_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is called is private: it may mean something else there."""
    monkeypatch.setattr(acceptors, "TRIED_VERSIONS", frozenset({"0.1"}))
    server = grpc.aio.server()
    assert not Acceptors(server, []).start()
    assert "accepts one call at a time" in caplog.text


def test_the_installed_version_was_tried() -> None:
    """Whoever raises gRPC's version tries this anew, with the tests above and `python -m benchmarks.comparison`."""
    assert grpc.__version__ in acceptors.TRIED_VERSIONS

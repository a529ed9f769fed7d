"""Many calls are accepted in one turn of the event loop, on a real grpc.aio server."""

from __future__ import annotations

import asyncio
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


class Served:
    """What was served, and in which turn of the loop."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.turn = 0

    async def count_turns(self) -> None:
        """Counts, for ever."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    async def echo(self, request: bytes, context: Any) -> bytes:
        """Answers with the request."""
        del context
        self.turns.append(self.turn)
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

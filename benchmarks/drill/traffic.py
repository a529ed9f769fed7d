"""What callers ask meanwhile: a steady mixture of unary calls, ticks of a few symbols, and a flood if asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from benchmarks.load import runner
from benchmarks.load.plan import Plan, Traffic
from benchmarks.load.runner import LoadRun
from benchmarks.peers.export import Material
from benchmarks.peers.target import Server
from tickserve import AsyncClient, AsyncTickStream, Bar, ResumePolicy, TickserveError
from tickserve.cli.bar_file import read_bars

_BARS = Path(__file__).resolve().parent.parent.parent / "data" / "eurusd_1h.csv"
_SYMBOLS = ("ALPHA", "BETA", "GAMMA")
_HISTORY = 119
_TICK_INTERVAL = 0.5
_TIMEOUT = 2.0

# Little beside what two cores can do: what is seen is to be the fault's doing.
STEADY = (
    Traffic(name="real_time", priority="real_time", deadline=0.2, rpc_timeout=_TIMEOUT, rate=20.0, connections=4),
    Traffic(name="standard", priority="standard", deadline=_TIMEOUT, rpc_timeout=_TIMEOUT, rate=10.0, connections=4),
    Traffic(
        name="background", priority="background", deadline=_TIMEOUT, rpc_timeout=_TIMEOUT, rate=10.0, connections=4
    ),
)
FLOOD = Traffic(name="flood", priority="background", deadline=5.0, rpc_timeout=5.0, callers=256, connections=8)

_plans = itertools.count()


def sent(traffic: tuple[Traffic, ...], material: Material, server: Server, *, seconds: float) -> Future[LoadRun]:
    """Starts a load generator and returns what ends with it; no two send the same window."""
    number = next(_plans)
    plan = Plan(
        target=server.target.address,
        traffic=traffic,
        warm_up=0.1,
        duration=seconds,
        windows=str(material.windows),
        first_window=number * 1_000_000,
        feature_schema=material.feature_schema,
        model=material.model,
        seed=number,
    )
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(runner.run, [plan], watch={server.target.name: server.pid})
    pool.shutdown(wait=False)
    return future


@contextlib.contextmanager
def ticks(target: str) -> Iterator[None]:
    """Holds a tick stream open while the context is entered, and sends each of its symbols a bar from time to time."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_tick(target, stop)), name="ticks")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _tick(target: str, stop: threading.Event) -> None:
    bars = list(read_bars(_BARS))
    # A stream that its fault broke for longer than the library cares for is opened anew: traffic goes on.
    position = 0
    async with AsyncClient(target) as client:
        while not stop.is_set():
            with contextlib.suppress(TickserveError):
                stream = client.stream_ticks(_SYMBOLS, open_timeout=10, resume=ResumePolicy(max_delay=0.5))
                async with stream:
                    position = await _feed(stream, bars, position, stop)
            await asyncio.sleep(_TICK_INTERVAL)


async def _feed(stream: AsyncTickStream, bars: list[Bar], position: int, stop: threading.Event) -> int:
    listening = asyncio.create_task(_listen(stream))
    try:
        if not position:
            for symbol in _SYMBOLS:
                await stream.history(symbol, bars[:_HISTORY])
            position = _HISTORY
        while not stop.is_set() and not listening.done():
            for symbol in _SYMBOLS:
                await stream.tick(symbol, bars[position % len(bars)])
            position += 1
            await asyncio.sleep(_TICK_INTERVAL)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return position


async def _listen(stream: AsyncTickStream) -> None:
    async for _ in stream:
        pass

"""Stages of a call inside the process: interleaved rounds over unary calls and streamed items, alone and by sixteen.

Each scenario runs twice a round: once with the stages timed, and once as it is, for the event loop's whole processor
time. What an empty call through the same harness takes is subtracted from the latter. So the stages and what is left
beside them (coroutines, tasks, futures, the loop itself) add up to the whole.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import uvloop
from google.protobuf.duration_pb2 import Duration

from benchmarks.stages import spots
from benchmarks.stages.mount import Feed, Mount, mount, mounted, settings_for, through_seam
from benchmarks.stages.stopwatch import Stopwatch, Sum, empty_stretch
from model.dataset import load_windows
from server.config.settings import Settings
from server.inference.batch_runner import BatchRunner
from server.inference.predictor import Work
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse, StreamPredictResponse
from tickserve.v1.window_pb2 import Window

_BARS = Path(__file__).resolve().parent.parent.parent / "data" / "eurusd_1h.csv"
_WINDOWS = 64
# Between two requests that are made of the same window: as `benchmarks.load.requests` has it.
_STEP = 1e-5
BATCHES = (1, 16)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to send requests.

    Attributes:
        name: In results.
        title: In reports.
        streamed: Items of one stream, or unary calls.
        batch: How many at once; all of them are answered before the next are sent.
        identified: Whether the caller has an identity, so that its request ids count (`server.results.idempotency`).
    """

    name: str
    title: str
    streamed: bool
    batch: int
    identified: bool = False


SCENARIOS = (
    Scenario(name="unary_1", title="unary call", streamed=False, batch=1),
    Scenario(name="unary_16", title="unary call, batches of 16", streamed=False, batch=16),
    Scenario(
        name="unary_16_id", title="with an id that counts, batches of 16", streamed=False, batch=16, identified=True
    ),
    Scenario(name="item_1", title="streamed item", streamed=True, batch=1),
    Scenario(name="item_16", title="streamed item, batches of 16", streamed=True, batch=16),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes: rounds, and batches of each scenario within a round by size."""

    rounds: int
    batches: dict[int, int]


FULL = Length(rounds=7, batches={1: 160, 16: 20})
QUICK = Length(rounds=2, batches={1: 60, 16: 8})


def measure(length: Length, *, registry: Path, model: str, threads: int = 1) -> dict[str, Any]:
    """Runs all rounds and returns the raw results: by scenario, one entry a round.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model.
        threads: Of one engine call; with more than one the engine's processor time is not all in its own thread.

    Raises:
        model.errors.ModelError: The model cannot be served.
    """
    settings = settings_for(registry, model=model, threads=threads, max_batch_size=max(BATCHES))
    windows = load_windows(_BARS, limit=_WINDOWS)
    return uvloop.run(_measure(length, settings, windows)) | {
        "settings": dataclasses.asdict(length) | {"threads": threads}
    }


async def _measure(length: Length, settings: Settings, windows: npt.NDArray[np.float32]) -> dict[str, Any]:
    results: dict[str, list[dict[str, Any]]] = {scenario.name: [] for scenario in SCENARIOS}
    requests = distinct_requests(windows)
    empty = empty_stretch()
    async with mounted(settings) as replica:
        echo = through_seam(_answer_nothing, _echo_nothing)
        ways = {identified: mount(replica.dispatcher, routing_key=identified) for identified in (False, True)}
        engine = await _engine_class(ways[False], requests)
        for index in range(length.rounds):
            for scenario in SCENARIOS:
                count = length.batches[scenario.batch]
                served = ways[scenario.identified]
                results[scenario.name].append(await _round(scenario, count, served, echo, requests, engine, empty))
            sys.stderr.write(f"inside: round {index + 1} of {length.rounds} done\n")
    return {"scenarios": results, "empty_stretch_us": empty.cpu / 1e3, "engine": engine.__name__}


async def _round(
    scenario: Scenario,
    count: int,
    served: Mount,
    echo: Mount,
    requests: Iterator[bytes],
    engine: type[Any],
    empty: Sum,
) -> dict[str, Any]:
    calls = count * scenario.batch
    whole = await run(scenario, count, served, requests)
    harness = await run(scenario, count, echo, requests)
    watch = Stopwatch()
    with spots.timed(watch, engine):
        watched = await run(scenario, count, served, requests)
    return {
        "stages": {
            stage: {
                "cpu_us": total.cpu / calls / 1e3,
                # A batch's work is shared by its calls, and each of them waits for all of it.
                "wall_us": total.wall / (total.count if stage in spots.WAITS else calls) / 1e3,
            }
            for stage, total in watch.cleared(empty).items()
        },
        "loop_cpu_us": (whole.cpu - harness.cpu) / calls / 1e3,
        "harness_cpu_us": harness.cpu / calls / 1e3,
        "wall_us": whole.wall / calls / 1e3,
        "timing_overhead": watched.cpu / whole.cpu - 1,
    }


async def run(scenario: Scenario, count: int, into: Mount, requests: Iterator[bytes]) -> Sum:
    """Sends `count` batches, and returns the event loop's processor time and the wall time that they took."""
    batches = [[next(requests) for _ in range(scenario.batch)] for _ in range(count)]
    responses: list[list[bytes]] = []
    send = _streamed if scenario.streamed else _unary
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    await send(into, batches, responses)
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    _check(scenario, responses)
    return Sum(count * scenario.batch, cpu, wall)


async def _unary(into: Mount, batches: list[list[bytes]], responses: list[list[bytes]]) -> None:
    loop = asyncio.get_running_loop()
    for batch in batches:
        # A task each, as gRPC makes one for each call.
        tasks = [loop.create_task(_await(into, request)) for request in batch]
        responses.append(await asyncio.gather(*tasks))


async def _await(into: Mount, request: bytes) -> bytes:
    return await into.unary(request)


async def _streamed(into: Mount, batches: list[list[bytes]], responses: list[list[bytes]]) -> None:
    feed = Feed()
    answers = into.stream(feed)
    for batch in batches:
        feed.put(batch)
        responses.append([await anext(answers) for _ in batch])
    feed.close()
    async for _ in answers:
        raise AssertionError("an answer that nobody asked for")


def _check(scenario: Scenario, responses: list[list[bytes]]) -> None:
    """Holds the answers to what was asked for.

    Raises:
        RuntimeError: An item failed, or the batches are not what the scenario says.
    """
    kind = StreamPredictResponse if scenario.streamed else PredictResponse
    for batch in responses:
        for data in batch:
            if not data:
                continue  # the harness's own, with nothing behind it
            execution = kind.FromString(data).prediction.execution
            if execution.batch_size != scenario.batch or execution.cached:
                raise RuntimeError(f"{scenario.name}: a batch of {execution.batch_size}, cached: {execution.cached}")


async def _engine_class(served: Mount, requests: Iterator[bytes]) -> type[Any]:
    """Returns the class of the engine that answers: seen where a batch meets it."""
    seen: list[type[Any]] = []
    run = BatchRunner.__call__

    def look(runner: BatchRunner, batch_key: str, batch: Sequence[Work]) -> Any:
        seen.append(type(batch[0].model.engine))
        return run(runner, batch_key, batch)

    with mock.patch.object(BatchRunner, "__call__", look):
        await served.unary(next(requests))
    return seen[0]


def distinct_requests(windows: npt.NDArray[np.float32]) -> Iterator[bytes]:
    """Yields requests with ids and deadlines of their own, no two with the same window, for ever."""
    number = 0
    while True:
        for window in windows:
            changed = window.copy()
            changed.flat[0] += number // len(windows) * _STEP
            number += 1
            yield PredictRequest(
                request_id=str(number),
                window=Window(
                    feature_count=window.shape[0],
                    time_steps=window.shape[1],
                    raw_float32=changed.astype("<f4").tobytes(),
                ),
                timeout=Duration(seconds=20),
            ).SerializeToString()


async def _answer_nothing(_request: bytes, _context: Any) -> bytes:
    return b""


async def _echo_nothing(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield b""

"""The phases of a run: what is compared takes turns within a round, and every other round runs the other way round.

Three servers, one after the other, tickserve as shipped: a fresh one for memory and backfill, one for speed and
overload, one with its windows in a Redis.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import runner as unary_runner
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, running
from benchmarks.streams import redis_store, runner
from benchmarks.streams.length import SYMBOLS, Length
from benchmarks.streams.plan import StreamPlan
from benchmarks.streams.scenarios import (
    ALL_SYMBOLS,
    CLOSED,
    STREAMS_64,
    UNARY_64,
    UNARY_OPEN,
    Shape,
    stream_plan,
    unary_plan,
)

BARS = catalogue.ROOT / "data" / "eurusd_1h.csv"
HISTORY = 200
OVERLOAD = 3.0
OVERLOAD_STREAMS = 4
# By name: seconds for which a prediction is of use; 0: the server's default for the class, one second. A thousand
# symbols in turn take longer than that, so the default refuses where the other waits, and conflates meanwhile.
OVERLOADS = {"default": 0.0, "patient": 10.0}


class Part(enum.StrEnum):
    """What can be measured alone."""

    MEMORY = "memory"
    SPEED = "speed"
    OVERLOAD = "overload"
    REDIS = "redis"


_SETTLE = 1.0
# A symbol that no other phase uses.
_FIRST_TO_WARM_UP = 90_000
_WARM_UP_SYMBOLS = 100


def measure(
    length: Length, *, registry: Path, model: str, source: Path = catalogue.ROOT, only: Part | None = None
) -> dict[str, Any]:
    """Runs all phases and returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model.
        source: The checkout that tickserve is served from.
        only: The one part to measure; the others' results are missing then.

    Raises:
        model.errors.ModelError: There is no such model.
        benchmarks.peers.target.TargetError: A server did not start.
        benchmarks.load.runner.LoadError: A generator failed.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    with tempfile.TemporaryDirectory(prefix="streams-") as name:
        folder = Path(name)
        material = prepare(folder, registry=registry, name=model)

        @contextlib.contextmanager
        def phases(**variables: str) -> Iterator[_Phases]:
            target = catalogue.target(catalogue.AS_SHIPPED, material, threads=threads, source=source)
            target = dataclasses.replace(target, environment={**target.environment, **variables})
            with running(target) as server:
                time.sleep(_SETTLE)
                yield _Phases(server, length, material)

        raw: dict[str, Any] = {}
        if only in (None, Part.MEMORY):
            with phases() as fresh:
                raw |= fresh.memory()
        if only in (None, Part.SPEED, Part.OVERLOAD):
            with phases() as busy:
                rounds = busy.rounds() if only is not Part.OVERLOAD else [busy.capacity_round()]
                raw["rounds"] = rounds
                if only is not Part.SPEED:
                    raw["overload"] = busy.overload(rounds)
        raw["redis"] = None
        if only in (None, Part.REDIS):
            if redis_store.is_installed():
                with (
                    redis_store.redis_server(folder) as url,
                    phases(TICKSERVE_WINDOWS__STORE="redis", TICKSERVE_WINDOWS__REDIS_URL=url) as shared,
                ):
                    raw["redis"] = shared.speed_with_redis()
            else:
                _tell("no redis-server on this machine: windows in Redis are left out")
    return raw | {
        "settings": dataclasses.asdict(length)
        | {"threads": threads, "history": HISTORY, "overload_factor": OVERLOAD, "overload_streams": OVERLOAD_STREAMS}
    }


class _Phases:
    """What is measured of one server."""

    def __init__(self, server: Server, length: Length, material: Material) -> None:
        self._server = server
        self._length = length
        self._material = material
        self._first_window = 0

    def memory(self) -> dict[str, Any]:
        """Returns what symbols and idle streams take, of a replica that has done next to nothing else.

        One that has been busy has freed memory in reserve, from which it serves what comes next.
        """
        length, pid = self._length, self._server.pid
        # What the first calls load and allocate is not the symbols'.
        self._hold(name="warm_up", first_symbol=_FIRST_TO_WARM_UP, symbols=_WARM_UP_SYMBOLS, streams=4)
        before = runner.settled_memory(pid)
        backfill = self._hold(name="backfill", symbols=SYMBOLS, streams=1)["fill"]
        _tell(f"backfill of {SYMBOLS} symbols: {backfill['seconds']:.1f} s")
        more = length.memory_symbols - SYMBOLS
        if more:
            self._hold(name="memory", first_symbol=SYMBOLS, symbols=more, streams=2, connections=2)
        with_symbols = runner.settled_memory(pid)
        # Streams alone: their symbols' windows are there already.
        count = length.idle_streams
        idle = self._plan(name="idle", symbols=count, streams=count, connections=4)
        with runner.ready(idle) as generator:
            with_streams = runner.settled_memory(pid)
            generator.run(pid)
        memory = {
            "before": before,
            "with_symbols": with_symbols,
            "with_streams": with_streams,
            "after_streams": runner.settled_memory(pid),
        }
        _tell(f"memory, MiB: { ({key: round(each['replica'] / 2**20) for key, each in memory.items()}) }")
        return {
            "backfill": backfill,
            "memory": memory | {"symbols": length.memory_symbols, "streams": count, "bars": HISTORY},
        }

    def rounds(self) -> list[dict[str, Any]]:
        """Returns the rounds in which all kinds of traffic are compared."""
        return [self._round(index, CLOSED) for index in range(self._length.rounds)]

    def capacity_round(self) -> dict[str, Any]:
        """Returns a round of what answers most, to know what an overload is."""
        return self._round(0, (UNARY_64, STREAMS_64, ALL_SYMBOLS))

    def overload(self, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Returns the overloads, at a multiple of the best rate of the rounds."""
        best = max(each["closed"][name]["answered_per_second"] for each in rounds for name in each["closed"])
        return {name: self._overload(name, best, valid_duration) for name, valid_duration in OVERLOADS.items()}

    def speed_with_redis(self) -> dict[str, Any]:
        """Returns the rounds of 64 streams and their counterpart."""
        return {
            "rounds": [
                self._round(index, (UNARY_64, STREAMS_64), durable=True) for index in range(self._length.redis_rounds)
            ]
        }

    def _round(self, index: int, shapes: Iterable[Shape], *, durable: bool = False) -> dict[str, Any]:
        """Returns a round's closed loops, and the open ones at half of what 64 streams were answered."""
        order = list(shapes)[:: -1 if index % 2 else 1]
        closed = {shape.name: self._traffic(shape, durable=durable) for shape in order}
        rate = closed[STREAMS_64.name]["answered_per_second"] / 2
        # One unary loop is the counterpart of all: nothing but the schedule bounds what is in flight.
        beside = [shape for shape in order if shape.streams or shape is UNARY_64]
        opened = {
            shape.name if shape.streams else UNARY_OPEN: self._traffic(shape, rate=rate, durable=durable)
            for shape in beside
        }
        for name, figures in {**closed, **{f"{key} open": each for key, each in opened.items()}}.items():
            _tell(f"round {index + 1}, {name}: {_brief(figures)}")
        return {"closed": closed, "open": opened, "rate": rate}

    def _traffic(self, shape: Shape, *, rate: float = 0.0, durable: bool = False) -> dict[str, Any]:
        length = self._length
        if not shape.streams:
            self._first_window += 500_000
            unary = unary_plan(
                shape,
                target=self._server.target.address,
                material=self._material,
                warm_up=length.warm_up,
                duration=length.duration,
                first_window=self._first_window,
                rate=rate,
            )
            done = unary_runner.run([unary], watch={"server": self._server.pid})
            return _figures(done.traffic(shape.name)) | {
                "server_cpu": done.server_cpu["server"],
                "replica_threads": done.replica_threads["server"],
                "client_cpu": done.client_cpu,
                "foreign_cpu": done.foreign_cpu,
            }
        plan = stream_plan(
            shape,
            target=self._server.target.address,
            bars=str(BARS),
            material=self._material,
            warm_up=length.warm_up,
            duration=length.duration,
            rate=rate,
        )
        return self._run(dataclasses.replace(plan, durable=durable))

    def _overload(self, name: str, capacity: float, valid_duration: float) -> dict[str, Any]:
        result = self._run(
            self._plan(
                name=name,
                symbols=SYMBOLS,
                streams=OVERLOAD_STREAMS,
                connections=OVERLOAD_STREAMS,
                rate=OVERLOAD * capacity,
                conflate=True,
                valid_duration=valid_duration,
                warm_up=2.0,
                duration=self._length.overload,
                exact_sample=self._length.exact_sample,
            )
        )
        _tell(f"overload, {name}: {_brief(result)}, ages {result['ages']}, {result['exactness']}")
        return result | {"capacity": capacity, "rate": OVERLOAD * capacity, "valid_duration": valid_duration}

    def _hold(self, **values: Any) -> dict[str, Any]:
        """Opens streams, fills windows and closes the streams."""
        return runner.run(self._plan(**values), server_pid=self._server.pid)

    def _plan(self, **values: Any) -> StreamPlan:
        return StreamPlan(
            target=self._server.target.address, bars=str(BARS), model=self._material.model, history=HISTORY, **values
        )

    def _run(self, plan: StreamPlan) -> dict[str, Any]:
        result = runner.run(plan, server_pid=self._server.pid)
        kept = (
            "server_cpu",
            "replica_threads",
            "foreign_cpu",
            "ticks",
            "conflated",
            "durable_lag_ms",
            "strays",
            "ticks_per_second",
        )
        more = {key: result[key] for key in (*kept, "ages", "fill")}
        if "exactness" in result:
            more["exactness"] = result["exactness"]
        return _figures(result["traffic"]) | more | {"client_cpu": result["client_cpu_seconds"]}


def _figures(traffic: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("answered_per_second", "answered", "sent", "latency_ms", "send_lag_ms", "outcomes", "reasons")
    return {key: traffic[key] for key in (*kept, "histogram_ms", "batches")}


def _brief(figures: Mapping[str, Any]) -> str:
    latency = figures["latency_ms"]
    slow = "-" if latency["p99"] is None else f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"
    return f"{figures['answered_per_second']:.0f}/s, {slow}, {figures['outcomes']} {figures['reasons'] or ''}".rstrip()


def _tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()

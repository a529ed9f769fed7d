"""The stage of a drill: two replicas, their Redis, a collector; and how each fault is put in and taken out again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.drill import traffic
from benchmarks.drill.diagnosis import Fault
from benchmarks.load.plan import ExpectedModel
from benchmarks.load.processes import roles
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, TargetError, free_ports, running
from tests.support.redis_server import RedisServer
from tests.support.registry import make_registry

REPLICAS = 2
_MODEL = "cnn_lstm"
_STABLE, _CANDIDATE = 1, 2
# Thirty times what the small network takes.
_ENGINE_DELAY = 0.03
_BLOCK = {"block": 0.3, "turn": 0.1}
_REPLACED_WITHIN = 90.0
_SETTINGS = f"""replicas = {REPLICAS}
replica_cpus = 1
engine_threads = 1

[routes.{_MODEL}]
stable = {_STABLE}
"""
# Rolled back by itself it would be gone before anybody looks; a drill wants to see it.
_ROUTE = f"""candidate = {_CANDIDATE}
percent = 50
compared_percent = 100
max_disagreement = 1.0
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs.

    Attributes:
        server: The service.
        scrape: Where its figures are scraped, `host:port`.
        material: What load is made of.
        redis: The windows' Redis.
        collector: Takes spans.
        settings: The service's settings file.
        control: What the replicas' faults are read from.
    """

    server: Server
    scrape: str
    material: Material
    redis: RedisServer
    collector: subprocess.Popen[str]
    settings: Path
    control: Path

    def replicas(self) -> list[int]:
        """Returns the replicas' process ids."""
        return sorted(pid for pid, role in roles(self.server.pid).items() if role == "replica")

    @contextlib.contextmanager
    def injected(self, fault: Fault, *, seconds: float) -> Iterator[None]:
        """Puts a fault in while the context is entered.

        Args:
            fault: Which; `NONE` changes nothing.
            seconds: How long it is to last, for those that end by themselves.
        """
        match fault:
            case Fault.ENGINE_SLOW:
                with self._controlled(engine_delay=_ENGINE_DELAY):
                    yield
            case Fault.LOOP_BLOCKED:
                with self._controlled(blocked_pid=self.replicas()[0], **_BLOCK):
                    yield
            case Fault.FLOOD:
                flood = traffic.sent((traffic.FLOOD,), self.material, self.server, seconds=seconds)
                yield
                flood.result()
            case Fault.REPLICA_LOST:
                os.kill(self.replicas()[0], signal.SIGKILL)
                yield
                self._await_replicas()
            case Fault.STORE_GONE:
                self.redis.stop()
                yield
                self.redis.start()
            case Fault.CANDIDATE_DISAGREES:
                with self._configured(_SETTINGS + _ROUTE):
                    yield
            case Fault.COLLECTOR_GONE:
                # Frozen, not ended: it listens at a port of the system's choice, and is to come back there.
                self.collector.send_signal(signal.SIGSTOP)
                yield
                self.collector.send_signal(signal.SIGCONT)
            case Fault.NONE:
                yield

    @contextlib.contextmanager
    def _controlled(self, **values: float) -> Iterator[None]:
        self.control.write_text(json.dumps(values), encoding="utf-8")
        try:
            yield
        finally:
            self.control.write_text("{}", encoding="utf-8")

    @contextlib.contextmanager
    def _configured(self, text: str) -> Iterator[None]:
        self._configure(text)
        try:
            yield
        finally:
            self._configure(_SETTINGS)

    def _configure(self, text: str) -> None:
        self.settings.write_text(text, encoding="utf-8")
        os.kill(self.server.pid, signal.SIGHUP)

    def _await_replicas(self) -> None:
        deadline = time.monotonic() + _REPLACED_WITHIN
        while len(self.replicas()) < REPLICAS:
            if time.monotonic() > deadline:
                raise TargetError("the replica that was killed has not been replaced")
            time.sleep(0.5)


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Sets the stage in an empty folder, and clears it away.

    Raises:
        TargetError: The service did not start.
    """
    registry = make_registry(folder / "registry")
    material = prepare(folder, registry=registry, name=_MODEL)
    # What the callers' answers must name: stable, not the latest; a candidate's answers are none that they count.
    expected = ExpectedModel(name=_MODEL, version=_STABLE, sha256="")
    material = dataclasses.replace(material, model=expected)
    settings, control = folder / "tickserve.toml", folder / "control.json"
    settings.write_text(_SETTINGS, encoding="utf-8")
    control.write_text("{}", encoding="utf-8")
    scrape_port, redis_port = free_ports(2)
    redis = RedisServer(folder, redis_port)
    redis.start()
    with contextlib.ExitStack() as stack:
        stack.callback(redis.stop)
        collector, address = _collector()
        stack.callback(_end, collector)
        target = catalogue.target(catalogue.SAME_ENGINE, material, threads=1)
        paths = (str(Path(__file__).parent / "faults"), target.environment["PYTHONPATH"])
        more = {
            "PYTHONPATH": os.pathsep.join(paths),
            "DRILL_CONTROL": str(control),
            "TICKSERVE_CONFIG": str(settings),
            "TICKSERVE_METRICS__PORT": str(scrape_port),
            "TICKSERVE_METRICS__DIRECTORY": str(folder / "metrics"),
            "TICKSERVE_WINDOWS__STORE": "redis",
            "TICKSERVE_WINDOWS__REDIS_URL": redis.url,
            "TICKSERVE_TRACING__ENABLED": "true",
            "TICKSERVE_TRACING__ENDPOINT": f"http://{address}",
            "TICKSERVE_TRACING__SAMPLE_RATIO": "1",
            "TICKSERVE_TRACING__EXPORT_TIMEOUT": "1",
            "TICKSERVE_MODELS__COMPILED_CACHE": str(folder / "compiled"),
        }
        target = dataclasses.replace(target, environment={**target.environment, **more})
        server = stack.enter_context(running(target))
        yield Stage(
            server=server,
            scrape=f"127.0.0.1:{scrape_port}",
            material=material,
            redis=redis,
            collector=collector,
            settings=settings,
            control=control,
        )


def _collector() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.telemetry.receiver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()

"""The stage: two replicas of a small network, windows in a Redis of their own, and how their processes are found."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.load.processes import resident_bytes, roles
from benchmarks.peers import catalogue
from benchmarks.peers.export import prepare
from benchmarks.peers.target import Server, Target, TargetError, free_ports, running
from model.registry import LoadedModel, Registry
from server.process_tree import descendants
from tests.support.redis_server import RedisServer
from tests.support.registry import NAME, make_registry

REPLICAS = 2
_WHOLE_WITHIN = 120.0
_POLL = 0.2
_HERE = Path(__file__).parent
# Ray's logs, sockets and session files of one row fit in many times over.
_DISK = "256m"


class Kind(enum.Enum):
    """What is special about a stage; faults say which one they need."""

    PLAIN = enum.auto()
    SMALL_DISK = enum.auto()
    OWN_CLOCK = enum.auto()


class MissingError(Exception):
    """This machine cannot set the stage; the message says what it lacks."""


class Stage:
    """What runs.

    Args:
        target: How the service is started.
        folder: Of everything.
        redis: The windows' Redis.
        settings: The service's settings file.

    Attributes:
        disk: Where Ray writes, on a stage with a small disk.
        clocks: Where processes' clocks are set, on a stage with own clocks.
    """

    def __init__(self, target: Target, folder: Path, redis: RedisServer, settings: Path) -> None:
        self.target = target
        self.folder = folder
        self.redis = redis
        self.disk = folder / "ray"
        self.clocks = folder / "clocks"
        self._settings = settings
        self._services = contextlib.ExitStack()
        self._server: Server | None = None

    def start(self) -> None:
        """Starts the service, or starts it anew after its end.

        Raises:
            TargetError: It did not start.
        """
        self.stop()
        self._server = self._services.enter_context(running(self.target))
        self.await_whole()

    def stop(self) -> None:
        """Stops the service; idempotent."""
        self._server = None
        self._services.close()

    @property
    def root_pid(self) -> int:
        """The service's first process."""
        assert self._server is not None
        return self._server.pid

    def is_alive(self) -> bool:
        """Tells whether the service's first process still runs."""
        try:
            state = Path(f"/proc/{self.root_pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"

    def pids(self, role: str) -> list[int]:
        """Returns the processes that play a part, lowest id first; see `benchmarks.load.cpu`."""
        return sorted(pid for pid, each in roles(self.root_pid).items() if each == role)

    def pids_named(self, program: str) -> list[int]:
        """Returns the service's processes that run a program."""
        found = []
        for pid in descendants(self.root_pid):
            with contextlib.suppress(OSError):
                if Path(os.readlink(f"/proc/{pid}/exe")).name == program:
                    found.append(pid)
        return found

    def memory(self) -> dict[str, int]:
        """Returns the resident bytes of the service's processes, by part."""
        held: dict[str, int] = {}
        for pid, role in roles(self.root_pid).items():
            with contextlib.suppress(OSError):
                held[role] = held.get(role, 0) + resident_bytes(pid)
        return held

    def scale(self, replicas: int) -> None:
        """Asks for another number of replicas, as an operator would: by the settings file and a signal."""
        self._settings.write_text(_settings(replicas), encoding="utf-8")
        os.kill(self.root_pid, signal.SIGHUP)

    def await_count(self, replicas: int, *, timeout: float = _WHOLE_WITHIN) -> None:
        """Waits until there are so many replicas.

        Raises:
            TargetError: There are not.
        """
        self._await(lambda: len(self.pids("replica")) == replicas, f"{replicas} replicas", timeout)

    def await_whole(self) -> None:
        """Waits until all replicas are there and the service says that it serves.

        Raises:
            TargetError: It does not come to itself.
        """
        self.await_count(REPLICAS)
        self._await(self.serves, "a service that answers", _WHOLE_WITHIN)

    def _await(self, look: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not look():
            if time.monotonic() > deadline or not self.is_alive():
                raise TargetError(f"waited in vain for {what}")
            time.sleep(_POLL)

    def serves(self) -> bool:
        """Tells whether somebody who connects now hears that the service serves."""
        with grpc.insecure_channel(self.target.address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextlib.contextmanager
def stage(folder: Path, kind: Kind = Kind.PLAIN) -> Iterator[Stage]:
    """Sets a stage in an empty folder, and clears it away.

    Raises:
        MissingError: This machine lacks what such a stage needs.
        TargetError: The service did not start.
    """
    with contextlib.ExitStack() as stack:
        special = _special(kind, folder, stack)
        registry = make_registry(folder / "registry", versions=1)
        material = prepare(folder, registry=registry, name=NAME)
        settings = folder / "tickserve.toml"
        settings.write_text(_settings(REPLICAS), encoding="utf-8")
        scrape_port, redis_port = free_ports(2)
        if shutil.which("redis-server") is None:
            raise MissingError("redis-server is not installed")
        redis = RedisServer(folder, redis_port)
        redis.start()
        stack.callback(redis.stop)
        target = catalogue.target(catalogue.SAME_ENGINE, material, threads=1)
        more = {
            "TICKSERVE_CONFIG": str(settings),
            "TICKSERVE_METRICS__PORT": str(scrape_port),
            "TICKSERVE_METRICS__DIRECTORY": str(folder / "metrics"),
            "TICKSERVE_WINDOWS__STORE": "redis",
            "TICKSERVE_WINDOWS__REDIS_URL": redis.url,
            "TICKSERVE_MODELS__COMPILED_CACHE": str(folder / "compiled"),
            **special,
        }
        target = dataclasses.replace(target, environment={**target.environment, **more})
        made = Stage(target, folder, redis, settings)
        stack.callback(made.stop)
        made.start()
        yield made


def served(folder: Path) -> LoadedModel:
    """Returns the version that a stage in that folder serves."""
    return Registry(folder / "registry").load(NAME)


def _settings(replicas: int) -> str:
    return f"replicas = {replicas}\nreplica_cpus = 1\nengine_threads = 1\n"


def _special(kind: Kind, folder: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    match kind:
        case Kind.SMALL_DISK:
            _mount(folder / "ray", stack)
            return {"RAY_TMPDIR": str(folder / "ray")}
        case Kind.OWN_CLOCK:
            (folder / "clocks").mkdir()
            return {"LD_PRELOAD": str(_compiled(folder)), "CHAOS_CLOCK": str(folder / "clocks")}
        case Kind.PLAIN:
            return {}


def _mount(path: Path, stack: contextlib.ExitStack) -> None:
    if os.geteuid() != 0:
        raise MissingError("only root may mount a small disk")
    path.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(path)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingError(f"no small disk can be mounted here: {error}") from None
    # Lazily: what still has a file open there is on its way out.
    stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=False, capture_output=True)


def _compiled(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingError("there is no C compiler for the clock that is preloaded")
    library = folder / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_HERE / "inside" / "clock.c"), "-ldl"], check=True
    )
    return library

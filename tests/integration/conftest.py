"""One Ray Serve instance a session: the real command in a process of its own, on ports of its own."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.process_tree import descendants
from tests.support.registry import FULL, make_registry
from tests.support.service import COMPILED_CACHE

START_TIMEOUT = 180
STOP_TIMEOUT = 30

_services = itertools.count()


@dataclass(frozen=True)
class Service:
    """A running service, as its users see it, and its processes."""

    target: str
    http: str
    fallback: str
    metrics: str
    registry: Path
    process: subprocess.Popen[str]
    output: list[str]

    def replica_pid(self) -> int:
        """Returns the pid of the one replica."""
        [pid] = self.replica_pids()
        return pid

    def replica_pids(self) -> set[int]:
        """Returns the pids of all replicas."""
        family = descendants(self.process.pid)
        return {pid for pid in family if _command(pid).startswith("ray::ServeReplica:tickserve")}

    def proxy_pids(self) -> set[int]:
        """Returns the pids of all of Ray Serve's HAProxy processes; more than one while a former one ends."""
        return {pid for pid in descendants(self.process.pid) if "/bin/haproxy " in _command(pid)}


# Above the ranges of the replicas and of Ray's workers, below those that the system gives to whoever connects: a port
# from there may be taken again before the service, which takes seconds to start, listens on it.
_PORTS = random.sample(range(32_000, 32_768), 768)


def free_port() -> int:
    """Returns a port that nobody listens on now; never the same one twice."""
    while True:
        port = _PORTS.pop()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(registry: Path, **extra: str) -> dict[str, str]:
    """Returns an environment in which a service disturbs no other on this machine."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TICKSERVE_", "RAY_"))}
    ports = {
        name: str(free_port())
        for name in (
            "TICKSERVE_GRPC_PORT",
            "TICKSERVE_HTTP_PORT",
            "TICKSERVE_METRICS__PORT",
            "RAY_SERVE_HAPROXY_METRICS_PORT",
            "RAY_SERVE_HAPROXY_STATS_PORT",
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
        )
    }
    # Replicas of several services on one machine must not meet on a port, either: Ray Serve takes the next free one of
    # a range, and a replica that has just gone may still be in another proxy's list.
    # Other test runs on this machine have other pids.
    first = 20_000 + 200 * ((os.getpid() + next(_services)) % 60)
    ranges = {
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + 99),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + 100),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first + 199),
    }
    folders = {"TICKSERVE_REGISTRY": str(registry), "TICKSERVE_MODELS__COMPILED_CACHE": str(COMPILED_CACHE)}
    return inherited | ports | ranges | folders | extra


@contextmanager
def serving(env: Mapping[str, str], registry: Path, *, inside: Sequence[str] = ()) -> Iterator[Service]:
    """Runs `tickserve serve` until the context is left; then it must stop in good order and leave nothing.

    Args:
        env: Its environment.
        registry: Its registry.
        inside: Command that becomes the service, such as one that enters a network namespace first.
    """
    process = subprocess.Popen(
        [*inside, str(Path(sys.executable).with_name("tickserve")), "serve"],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output: list[str] = []
    ready = threading.Event()
    reader = threading.Thread(target=_follow, args=(process, output, ready), daemon=True)
    reader.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready.wait(0.1):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the service did not start (exit code {process.poll()}):\n{''.join(output)}")
        yield Service(
            target=f"127.0.0.1:{env['TICKSERVE_GRPC_PORT']}",
            http=f"http://127.0.0.1:{env['TICKSERVE_HTTP_PORT']}",
            fallback=f"127.0.0.1:{env['RAY_SERVE_FALLBACK_PROXY_GRPC_PORT']}",
            metrics=f"127.0.0.1:{env['TICKSERVE_METRICS__PORT']}",
            registry=registry,
            process=process,
            output=output,
        )
    finally:
        stop(process)
        reader.join(STOP_TIMEOUT)
        if process.stdout is not None:
            process.stdout.close()


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> float:
    """Stops a service and everything below it, come what may; returns how long it took by itself, in seconds."""
    family = descendants(process.pid)
    began = time.monotonic()
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP_TIMEOUT)
    finally:
        for pid in family:
            if Path(f"/proc/{pid}").exists() and process.poll() is None:
                os.kill(pid, signal.SIGKILL)
        if process.poll() is None:
            process.kill()
            process.wait()
    return time.monotonic() - began


def _follow(process: subprocess.Popen[str], output: list[str], ready: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line)
        if line.startswith("tickserve ready"):
            ready.set()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions of `cnn_lstm`."""
    path = tmp_path_factory.mktemp("registry")
    make_registry(path, network=FULL)
    return path


@pytest.fixture(scope="session")
def service(registry: Path) -> Iterator[Service]:
    """The service that all integration tests share; no test may change its settings or stop it."""
    with serving(environment(registry), registry) as running:
        yield running

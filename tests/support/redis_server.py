"""A real Redis server for tests, on a port of its own, that forgets everything."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class RedisServer:
    """One `redis-server` process.

    Args:
        folder: Working directory.
        port: Loopback port.
        options: More arguments of `redis-server`.
        config: Configuration of a Sentinel, which writes to it; then it is one.
    """

    def __init__(self, folder: Path, port: int, *options: str, config: Path | None = None) -> None:
        self._folder = folder
        self._options = options
        self._config = config
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._process is not None

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        arguments += self._options
        if self._config is not None:
            arguments = [str(self._config), "--sentinel"]
        self._process = subprocess.Popen(
            ["redis-server", *arguments], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        give_up = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def freeze(self) -> None:
        """Stops it where it is: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kills it: what it held is lost. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def require_redis() -> None:
    """Skips the test where the machine has no Redis."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed; `make test` installs it where it may (scripts/test_servers.sh)")


def free_ports(count: int) -> list[int]:
    """Returns loopback ports that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Runs a server; skips the test where the machine has none."""
    require_redis()
    server = RedisServer(folder, free_ports(1)[0], *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()

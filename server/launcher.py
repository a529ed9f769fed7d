"""Starts the whole service on this machine and stops it without a trace: what `tickserve serve` runs.

Owns the process that runs Ray (`embedded`) and everything that Ray starts below it, but never joins Ray itself: so it
can stop what hangs. Everything it starts is its descendant and is ended by pid.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model.registry import Registry
from server import process_tree, runtime_env
from server.health import PREDICTION_SERVICE
from server.settings import Settings

logger = logging.getLogger("tickserve")

_START_TIMEOUT = 180.0
_DRAIN_TIMEOUT = 9.0
_KILL_GRACE = 2.0
_LOGS = "/tmp/ray/session_latest/logs/serve"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LaunchError(RuntimeError):
    """The service could not be started; the message says why and what to do."""


class _StopRequestedError(BaseException):
    """Raised by a signal; a BaseException so that no handler on its way takes it for a failure."""


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Runs the service while the context is entered.

    Args:
        settings: The server's settings; the default model must be in the registry.

    Raises:
        model.errors.ModelError: The registry has no such model, or it is damaged.
        LaunchError: A port is taken, or Ray or the application did not come up.
    """
    Registry(settings.registry).resolve(settings.default_model)
    for port in (settings.grpc_port, settings.http_port):
        _require_free(settings.host, port)
    process_tree.adopt_orphans()
    with tempfile.TemporaryFile("w+", prefix="tickserve-") as log:
        child = _start(settings, log)
        try:
            _await_ready(child, log)
            wait_until_serving(f"{_loopback(settings.host)}:{settings.grpc_port}", timeout=_START_TIMEOUT)
            yield
        finally:
            _stop(child)


def serve_until_signalled(settings: Settings) -> None:
    """Runs the service, says when it answers, and stops it on SIGINT or SIGTERM.

    Prints `tickserve ready grpc=HOST:PORT http=HOST:PORT` once it answers.

    Raises:
        model.errors.ModelError: As `running`.
        LaunchError: As `running`; or the service ended by itself.
    """
    previous = {number: signal.signal(number, _request_stop) for number in _SIGNALS}
    try:
        with running(settings):
            print(  # noqa: T201 - the line that scripts wait for
                f"tickserve ready grpc={settings.host}:{settings.grpc_port} http={settings.host}:{settings.http_port}",
                flush=True,
            )
            while True:
                signal.pause()
    except _StopRequestedError:
        logger.info("stopped by a signal")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def wait_until_serving(target: str, *, timeout: float) -> None:
    """Waits until a service's health says SERVING.

    Raises:
        LaunchError: It does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=PREDICTION_SERVICE)
        while time.monotonic() < deadline:
            try:
                if stub.Check(request, timeout=2).status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass  # HAProxy has no replica yet, or is not there itself
            time.sleep(0.1)
    raise LaunchError(
        f"{target} did not answer within {timeout:g} s; see the logs in /tmp/ray/session_latest/logs/serve."
    )


def _request_stop(_number: int, _frame: object) -> None:
    # Impatient users press twice; the stop under way is the fastest there is.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise _StopRequestedError


def _start(settings: Settings, log: IO[str]) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    runtime_env.apply(settings, environment)
    return subprocess.Popen(
        [sys.executable, "-m", "server.embedded", settings.model_dump_json()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # A session of its own: Ctrl-C on the terminal reaches this process alone, which then stops the rest in order.
        start_new_session=True,
    )


def _await_ready(child: subprocess.Popen[str], log: IO[str]) -> None:
    assert child.stdout is not None
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if select.select([child.stdout], [], [], 0.2)[0]:
            line = child.stdout.readline().strip()
            if line == "ready":
                return
            if line or child.poll() is not None:
                log.seek(0)
                last = "".join(log.readlines()[-5:])
                raise LaunchError(line.removeprefix("failed: ") or f"Ray ended during start-up:\n{last}")
    raise LaunchError(f"Ray Serve did not start within {_START_TIMEOUT:g} s; see {_LOGS}.")


def _stop(child: subprocess.Popen[str]) -> None:
    """Drains and stops everything that was started, within a bounded time."""
    child.terminate()
    try:
        # Open streams may hold a drain for long; after this time they are cut, and clients resume.
        child.wait(_DRAIN_TIMEOUT)
    except subprocess.TimeoutExpired:
        logger.info("the drain did not end in time")
    finally:
        if child.stdout is not None:
            child.stdout.close()
        killed = process_tree.end_descendants(grace=_KILL_GRACE)
        # end_descendants has collected the child's exit status itself.
        child.returncode = child.returncode if child.returncode is not None else -signal.SIGKILL
        if killed:
            logger.info("killed %d processes that did not stop by themselves", len(killed))


def _require_free(host: str, port: int) -> None:
    """Refuses a port that somebody listens on: HAProxy would share or fail it without naming it.

    Raises:
        LaunchError: The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LaunchError(
                f"{host}:{port} cannot be listened on ({error.strerror}): stop what uses it, or choose another with "
                "--grpc-port or --http-port (TICKSERVE_GRPC_PORT, TICKSERVE_HTTP_PORT)."
            ) from None


def _loopback(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host

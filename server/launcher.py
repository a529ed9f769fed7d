"""Starts the whole service on this machine and stops it without a trace: what `tickserve serve` runs.

Owns the process that runs Ray (`embedded`) and everything that Ray starts below it, but never joins Ray itself: so it
can stop what hangs. Everything it starts is its descendant and is ended by pid.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model.registry import Registry
from model.weights_import import import_original
from server import process_tree, runtime_env
from server.announcement import Announcer
from server.config.settings import Settings, SettingsError
from server.edge.edge import Edge
from server.edge.haproxy_process import EdgeError
from server.edge.settings_edge import edge_for, new_secret
from server.free_port import require_free
from server.health.health import PREDICTION_SERVICE
from server.launch_error import LaunchError as LaunchError
from server.security.edge_identity import SECRET_VARIABLE

logger = logging.getLogger("tickserve")

_START_TIMEOUT = 180.0
_DRAIN_TIMEOUT = 9.0
_KILL_GRACE = 2.0
_POLL = 0.2
_LOGS = "/tmp/ray/session_latest/logs/serve"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# What `embedded` says on its standard output.
READY = "ready"
RECONFIGURED = "reconfigured"
FAILED = "failed: "


class _StopRequestedError(BaseException):
    """Raised by a signal; a BaseException so that no handler on its way takes it for a failure."""


class RunningService:
    """A service that was started here.

    Args:
        child: The process that runs Ray.
        edge: The TLS edge in front of it, or None.
    """

    def __init__(self, child: subprocess.Popen[str], edge: Edge | None = None) -> None:
        self._child = child
        self._edge = edge

    def is_alive(self) -> bool:
        """Tells whether the process that runs Ray is still there."""
        return self._child.poll() is None

    def reconfigure(self, settings: Settings) -> None:
        """Puts other settings in force: live ones at once, others by replacing the replicas.

        The edge's own settings wait for the next start, save that it reads its certificates again.

        Raises:
            LaunchError: They were not; the former ones stand.
        """
        assert self._child.stdin is not None
        if self._edge is not None:
            self._edge.look_at_certificates()
        try:
            self._child.stdin.write(settings.model_dump_json() + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise LaunchError("The service has ended.") from error
        answer = _read_line(self._child, timeout=_START_TIMEOUT)
        if answer != RECONFIGURED:
            raise LaunchError(answer.removeprefix(FAILED) or "The service did not answer.")


@contextmanager
def running(settings: Settings) -> Iterator[RunningService]:
    """Runs the service while the context is entered.

    Args:
        settings: The server's settings; the default model must be in the registry, or `model_path` name it.

    Raises:
        model.errors.ModelError: The registry has no such model, or it, or what is to be imported, is damaged.
        LaunchError: A port is taken, or Ray or the application did not come up.
    """
    registry = Registry(settings.registry)
    import_original(registry, model_path=settings.model_path, default_model=settings.default_model)
    registry.resolve(settings.default_model)
    for port in (settings.grpc_port, settings.http_port):
        require_free(settings.inner_host(), port)
    secret = new_secret()
    process_tree.adopt_orphans()
    with _edge(settings, secret) as edge, tempfile.TemporaryFile("w+", prefix="tickserve-") as log:
        child = _start(settings, log, secret if edge is not None else "")
        try:
            _await_ready(child, log)
            wait_until_serving(f"{_loopback(settings.inner_host())}:{settings.grpc_port}", timeout=_START_TIMEOUT)
            if edge is not None:
                edge.start()
            yield RunningService(child, edge)
        except EdgeError as error:
            raise LaunchError(str(error)) from error
        finally:
            if edge is not None:
                edge.let_end()
            _stop(child)


@contextmanager
def _edge(settings: Settings, secret: str) -> Iterator[Edge | None]:
    """Yields the edge that the settings ask for, ready to start, or None; it outlives the service's drain.

    Raises:
        LaunchError: Its certificates cannot be used, or a port of it is taken.
    """
    edge = edge_for(settings, secret)
    if edge is None:
        yield None
        return
    with contextlib.closing(edge):
        for port in (settings.tls.grpc_port, settings.tls.http_port):
            require_free(settings.host, port)
        try:
            edge.prepare()  # before Ray, which takes its time: a wrong certificate is told at once
        except EdgeError as error:
            raise LaunchError(str(error)) from error
        yield edge


def serve_until_signalled(settings: Settings, *, reload: Callable[[], Settings], announcer: Announcer) -> None:
    """Runs the service, says when it answers, and stops it on SIGINT or SIGTERM; on SIGHUP it reads its settings again.

    Args:
        settings: The server's settings.
        reload: Reads the settings again; raises SettingsError where they cannot be used.
        announcer: Says that the service answers, and what became of other settings.

    Raises:
        model.errors.ModelError: As `running`.
        LaunchError: As `running`; or the service ended by itself.
    """
    hang_up = threading.Event()
    previous = {number: signal.signal(number, _request_stop) for number in _SIGNALS}
    previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: hang_up.set())
    try:
        with running(settings) as service:
            announcer.ready(settings)
            while service.is_alive():
                if hang_up.wait(_POLL):
                    hang_up.clear()
                    _reconfigure(service, reload, announcer)
            raise LaunchError(f"Ray has ended by itself; see {_LOGS}.")
    except _StopRequestedError:
        logger.info("stopped by a signal")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reconfigure(service: RunningService, reload: Callable[[], Settings], announcer: Announcer) -> None:
    """Puts the settings in force as they read now; a mistake in them is told and changes nothing."""
    try:
        service.reconfigure(reload())
    except (SettingsError, LaunchError) as error:
        announcer.not_reconfigured(error)
    else:
        announcer.reconfigured()


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
    raise LaunchError(f"{target} did not answer within {timeout:g} s; see {_LOGS}.")


def _request_stop(_number: int, _frame: object) -> None:
    # Impatient users press twice; the stop under way is the fastest there is.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise _StopRequestedError


def _start(settings: Settings, log: IO[str], edge_secret: str) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    runtime_env.apply(settings, environment)
    runtime_env.apply_local(environment)
    if edge_secret:
        # By the environment, which only this user can read: a command line can be seen by everybody.
        environment[SECRET_VARIABLE] = edge_secret
    # What the child itself logs belongs beside what this process does; what Ray prints is of use only if it fails.
    terminal = os.dup(2)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "server.embedded", settings.model_dump_json(), str(terminal)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(terminal,),
            text=True,
            # A session of its own: Ctrl-C on the terminal reaches this process alone, which stops the rest in order.
            start_new_session=True,
        )
    finally:
        os.close(terminal)


def _await_ready(child: subprocess.Popen[str], log: IO[str]) -> None:
    line = _read_line(child, timeout=_START_TIMEOUT)
    if line != READY:
        log.seek(0)
        last = "".join(log.readlines()[-5:])
        raise LaunchError(line.removeprefix(FAILED) or f"Ray did not start; see {_LOGS}.\n{last}")


def _read_line(child: subprocess.Popen[str], *, timeout: float) -> str:
    """Returns the next line of a child that writes few, or nothing if it ends or the time runs out."""
    assert child.stdout is not None
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if select.select([child.stdout], [], [], _POLL)[0]:
            line = child.stdout.readline().strip()
            if line or child.poll() is not None:
                return line
    return ""


def _stop(child: subprocess.Popen[str]) -> None:
    """Drains and stops everything that was started, within a bounded time."""
    child.terminate()
    try:
        # Open streams may hold a drain for long; after this time they are cut, and clients resume.
        child.wait(_DRAIN_TIMEOUT)
    except subprocess.TimeoutExpired:
        logger.info("the drain did not end in time")
    finally:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # the child may be gone with something unread
                    pipe.close()
        killed = process_tree.end_descendants(grace=_KILL_GRACE)
        # end_descendants has collected the child's exit status itself.
        child.returncode = child.returncode if child.returncode is not None else -signal.SIGKILL
        if killed:
            logger.info("killed %d processes that did not stop by themselves", len(killed))


def _loopback(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host

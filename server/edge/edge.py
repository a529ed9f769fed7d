"""The TLS edge while it runs: its private folder, its process, started again when it ends, its certificates kept fresh.

Owns the supervising thread, in which all of this happens. Knows nothing of Ray, and of what is behind it two
addresses.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from server.edge import haproxy_process
from server.edge.certificate_files import CertificateError, CertificateFiles, CertificateText
from server.edge.haproxy_config import (
    CERTIFICATE_FILE,
    CLIENT_CA_FILE,
    IDENTITIES_FILE,
    SOCKET_FILE,
    EdgePlan,
    identity_map,
    render,
)
from server.edge.haproxy_process import CONFIG_FILE, EdgeError, HaproxyProcess
from server.edge.restart_delay import RestartDelay
from server.edge.runtime_api import RuntimeApi, RuntimeApiError

logger = logging.getLogger("tickserve")

_POLL = 0.2


class Edge:
    """A TLS edge. `prepare` before anything else is started, `start` once there is something behind it, then `close`.

    Args:
        plan: What it does; its folder is made here.
        files: The certificates.
        identities: Key ids by common name, where the plan maps them.
        secret: What it adds to every request.
        reload_interval: Seconds between two looks at the certificates' files.
    """

    def __init__(
        self,
        plan: EdgePlan,
        files: CertificateFiles,
        *,
        identities: dict[str, str],
        secret: str,
        reload_interval: float,
    ) -> None:
        # Made by mkdtemp: its user alone may look into it, for the key lies there.
        self._folder = Path(tempfile.mkdtemp(prefix="tickserve-edge-"))
        self._plan = replace(plan, folder=self._folder)
        self._files = files
        self._identities = identities
        self._secret = secret
        self._reload_interval = reload_interval
        self._api = RuntimeApi(self._folder / SOCKET_FILE)
        self._text: CertificateText | None = None
        self._fingerprint: tuple[tuple[int, int, int], ...] = ()
        self._process: HaproxyProcess | None = None
        self._thread: threading.Thread | None = None
        self._look_now = threading.Event()
        self._let_end = threading.Event()
        self._closing = threading.Event()
        self._started = threading.Event()
        self._failure: EdgeError | None = None

    def prepare(self) -> None:
        """Reads the certificates and lets HAProxy check them.

        Raises:
            EdgeError: They cannot be used.
        """
        self._fingerprint = self._files.fingerprint()
        try:
            text = self._files.read()
            configuration = render(self._plan)
        except (CertificateError, ValueError) as error:
            raise EdgeError(str(error)) from None
        (self._folder / CONFIG_FILE).write_text(configuration)
        (self._folder / IDENTITIES_FILE).write_text(identity_map(self._identities))
        self._store(text)
        haproxy_process.check(self._folder, self._secret)

    def start(self) -> None:
        """Opens the public ports and watches over them from now on.

        Raises:
            EdgeError: They could not be opened.
        """
        self._thread = threading.Thread(target=self._supervise, name="tickserve-edge", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def folder(self) -> Path:
        """Where its files lie while it lives."""
        return self._folder

    @property
    def pid(self) -> int | None:
        """The id of the process that listens; None while there is none."""
        return self._process.pid if self._process is not None else None

    def look_at_certificates(self) -> None:
        """Has the certificates' files read again soon, whether or not they look changed."""
        self._look_now.set()

    def let_end(self) -> None:
        """Starts the process no more when it ends: the service is being stopped."""
        self._let_end.set()

    def drain(self, timeout: float, cut_short: threading.Event) -> None:
        """Takes no more connections and waits for those that are open; `close` ends those that are left.

        Args:
            timeout: Seconds to wait at most.
            cut_short: Ends the wait.
        """
        self._let_end.set()
        process = self._process
        if process is None:
            return
        process.let_go()
        deadline = time.monotonic() + timeout
        while not cut_short.is_set() and time.monotonic() < deadline and not process.wait(_POLL):
            pass

    def close(self) -> None:
        """Ends the edge with all its connections, and deletes its folder."""
        self._let_end.set()
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _supervise(self) -> None:
        # The process hangs on this thread: the kernel ends it when the thread that started it ends.
        try:
            self._process = self._launch()
        except EdgeError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        delay = RestartDelay()
        next_look = time.monotonic() + self._reload_interval
        while not self._let_end.is_set():
            if self._process.wait(_POLL):
                self._restart(delay)
            elif self._look_now.is_set() or time.monotonic() >= next_look:
                self._renew(forced=self._look_now.is_set())
                self._look_now.clear()
                next_look = time.monotonic() + self._reload_interval
        # Alive until the service behind it has drained.
        self._closing.wait()
        self._process.stop()

    def _launch(self) -> HaproxyProcess:
        return HaproxyProcess(self._folder, self._secret, self._api)

    def _restart(self, delay: RestartDelay) -> None:
        assert self._process is not None
        seconds = delay.after(time.monotonic() - self._process.started_at)
        logger.error("the TLS edge has ended; it starts again in %.1f s: %s", seconds, self._process.last_words())
        if self._let_end.wait(seconds):
            return
        try:
            self._process = self._launch()
            self._fingerprint = ()  # it reads what was in force; what has changed meanwhile is put in force again
            logger.warning("the TLS edge runs again")
        except EdgeError as error:
            logger.error("%s", error)

    def _renew(self, *, forced: bool) -> None:
        """Puts changed certificates in force; those that cannot be used are told once and change nothing."""
        fingerprint = self._files.fingerprint()
        if fingerprint == self._fingerprint and not forced:
            return
        self._fingerprint = fingerprint
        try:
            text = self._files.read()
            self._put_in_force(text)
        except (CertificateError, RuntimeApiError) as error:
            # Certificate and key are two files: between the writing of the two they do not fit, and the next look sees
            # the second one change.
            logger.error("the TLS certificates have changed and cannot be used, the former ones stay: %s", error)

    def _put_in_force(self, text: CertificateText) -> None:
        former = self._text
        if former is None or text.server != former.server:
            self._api.replace_certificate(self._folder / CERTIFICATE_FILE, text.server)
            logger.info("the TLS certificate has been renewed")
        if former is None or text.client_ca != former.client_ca:
            self._api.replace_client_ca(self._folder / CLIENT_CA_FILE, text.client_ca)
            logger.info("the authorities of client certificates have been renewed")
        self._store(text)

    def _store(self, text: CertificateText) -> None:
        """Keeps what is in force where a process that is started again finds it."""
        self._text = text
        (self._folder / CERTIFICATE_FILE).write_text(text.server)
        (self._folder / CLIENT_CA_FILE).write_text(text.client_ca)

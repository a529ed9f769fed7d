"""The one port of a node where Prometheus scrapes all its replicas: held by one of them, and another takes over.

Owns who holds it: whoever can bind it. The kernel frees it with the process, so nobody need notice a death. Knows
neither metrics nor what is served.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

from server.refusal import Refusal
from server.security.authorizer import Authorizer
from server.security.http_key import READING, challenge_of, metadata_of, status_of

Page = Callable[[], tuple[bytes, str]]
"""Returns a page and its content type; may block, and may fail."""

logger = logging.getLogger("tickserve")

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_PATHS = ("/", "/metrics")
# Two Prometheuses at once are usual; whoever else comes meanwhile may come again.
_MAX_AT_ONCE = 2


class ScrapePort:
    """Binds the port as soon as it is free, and serves a page there. Threads only: the event loop has no part in it.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any, which is for tests.
        page: What is served.
        authorizer: Lets scrapers in.
        retry_interval: Seconds between two attempts to bind.
    """

    def __init__(
        self, host: str, port: int, page: Page, *, authorizer: Authorizer, retry_interval: float = 1.0
    ) -> None:
        self._authorizer = authorizer
        self._address = (host, port)
        self._page = page
        self._retry_interval = retry_interval
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._bound = threading.Event()
        self._server: _Server | None = None
        # A daemon: it must not keep a process alive that ends in any other way than `close`.
        self._thread = threading.Thread(target=self._hold, name="scrape-port", daemon=True)

    def start(self) -> None:
        """Begins to try."""
        self._thread.start()

    def wait_until_held(self, timeout: float) -> int | None:
        """Waits until this process holds the port and returns it; None if it does not by then."""
        return self._server.server_port if self._bound.wait(timeout) and self._server is not None else None

    def close(self) -> None:
        """Frees the port. Blocks for up to half a second. Idempotent."""
        with self._lock:
            self._stopping.set()
            server = self._server
        if server is not None:
            server.shutdown()
        if self._thread.is_alive():
            self._thread.join()

    def _hold(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                server = _Server(self._address, self._page, self._authorizer)
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    # One of several replicas holds it, as a rule; anything else an operator must know.
                    level = logging.INFO if error.errno == errno.EADDRINUSE else logging.ERROR
                    logger.log(level, "metrics port %s:%d: %s; trying again", *self._address, error)
                self._stopping.wait(self._retry_interval)
                continue
            with server:
                with self._lock:
                    if self._stopping.is_set():
                        return
                    # From now on `close` waits for the end of the loop below, which must therefore run.
                    self._server = server
                self._bound.set()
                server.serve_forever(poll_interval=0.2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The port of a process that has just died is free at once.
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], page: Page, authorizer: Authorizer) -> None:
        self.page = page
        self.authorizer = authorizer
        self.places = threading.BoundedSemaphore(_MAX_AT_ONCE)
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of connections that broke: they are the scraper's."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "tickserve"
    sys_version = ""
    # Seconds for which one that connects and says nothing keeps its thread.
    timeout = 5.0

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in _PATHS:
            self._answer(HTTPStatus.NOT_FOUND, b"/metrics is here\n")
            return
        try:
            # No edge stands in front of this port.
            self.server.authorizer.admit_beside_edge(READING, metadata_of(self.headers.items(), method="GET"))
        except Refusal as refusal:
            self._answer(status_of(refusal.reason), f"{refusal}\n".encode(), headers=challenge_of(refusal.reason))
            return
        if not self.server.places.acquire(blocking=False):
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"being scraped by others; try again\n")
            return
        try:
            body, content_type = self.server.page()
        except Exception:
            logger.exception("the metrics could not be read")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"the metrics could not be read; the log says why\n")
            return
        finally:
            self.server.places.release()
        self._answer(HTTPStatus.OK, body, content_type)

    def log_message(self, format: str, *args: object) -> None:
        """Logs no scrape."""

    def _answer(
        self,
        status: HTTPStatus,
        body: bytes,
        content_type: str = "text/plain; charset=utf-8",
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

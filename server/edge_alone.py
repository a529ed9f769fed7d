"""An edge that runs by itself, in front of a service elsewhere, until a signal. Owns what signals mean."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading

from server.announcement import Announcer
from server.config.settings import Settings
from server.edge.edge import Edge

logger = logging.getLogger("tickserve")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_signalled(edge: Edge, settings: Settings, *, announcer: Announcer, drain: float) -> None:
    """Runs an edge until SIGINT or SIGTERM; SIGHUP has it read its certificates again.

    Args:
        edge: Not started yet.
        settings: What it was made of.
        announcer: Says that it listens.
        drain: Seconds that open connections have at the end; a second signal ends them at once.

    Raises:
        server.edge.haproxy_process.EdgeError: Certificates cannot be used, or a port could not be opened.
    """
    stop = threading.Event()
    now = threading.Event()

    def end(_number: int, _frame: object) -> None:
        (now if stop.is_set() else stop).set()

    previous = {number: signal.signal(number, end) for number in _SIGNALS}
    previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: edge.look_at_certificates())
    try:
        with contextlib.closing(edge):
            edge.prepare()
            edge.start()
            announcer.ready(settings)
            stop.wait()
            logger.info("the TLS edge takes no more connections")
            edge.drain(drain, now)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

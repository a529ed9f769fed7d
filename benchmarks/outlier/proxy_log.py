"""HAProxy's own log, one line a call: when it came, where it went, and what each part took.

Ray Serve's HAProxy sends its log by UDP to where `RAY_SERVE_HAPROXY_LOG_TARGET` says. Owns the socket and the reading
of lines; judges nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime

_MAX_DATAGRAM = 65_535
# https://docs.haproxy.org/3.0/configuration.html#8.2.3
_LINE = re.compile(
    r"haproxy\[(?P<pid>\d+)\]: (?P<ip>\S+):(?P<port>\d+) \[(?P<date>[^\]]+)\] (?P<frontend>\S+) "
    r"(?P<backend>[^/\s]+)/(?P<server>\S+) (?P<times>[-+\d]+(?:/[-+\d]+){4}) (?P<status>-?\d+) \S+ \S+ \S+ "
    r"(?P<ending>\S{2,4}) [\d]+/[\d]+/[\d]+/[\d]+/\+?(?P<retries>\d+) "
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLine:
    """One call through HAProxy.

    Attributes:
        pid: Of the HAProxy process.
        at: When the call came, seconds of the wall clock.
        client_port: Of the caller's connection.
        server: Which replica it went to; `<NOSRV>` if to none.
        request: Seconds until the request's head was there.
        queue: Seconds in HAProxy's queues, waits before other attempts to connect included; negative if it stayed.
        connect: Seconds to connect to the replica; negative if it never did.
        response: Seconds from then to the answer's head; negative if there was none.
        total: Seconds in all.
        status: HTTP's; gRPC has 200 for most failures.
        ending: How it ended; `----` is well.
        retries: Attempts to connect after the first.
    """

    pid: int
    at: float
    client_port: int
    server: str
    request: float
    queue: float
    connect: float
    response: float
    total: float
    status: int
    ending: str
    retries: int


def parse(line: str) -> ProxyLine | None:
    """Reads a line of `option httplog`; None if it is another kind of line."""
    match = _LINE.search(line)
    if match is None or match["frontend"] != "grpc_frontend":
        return None
    request, queue, connect, response, total = (float(each) / 1000 for each in match["times"].split("/"))
    return ProxyLine(
        pid=int(match["pid"]),
        at=datetime.strptime(match["date"], "%d/%b/%Y:%H:%M:%S.%f").astimezone().timestamp(),
        client_port=int(match["port"]),
        server=match["server"],
        request=request,
        queue=queue,
        connect=connect,
        response=response,
        total=total,
        status=int(match["status"]),
        ending=match["ending"],
        retries=int(match["retries"]),
    )


class ProxyLog:
    """What HAProxy has logged so far.

    Attributes:
        address: Where it must be sent, `host:port`.
        calls: The calls, in order of their ends.
        notices: Other lines with the wall clock's seconds at which they came: servers up and down, starts and stops.
    """

    def __init__(self, receiver: socket.socket) -> None:
        host, port = receiver.getsockname()
        self.address = f"{host}:{port}"
        self.calls: list[ProxyLine] = []
        self.notices: list[tuple[float, str]] = []
        self._receiver = receiver

    def follow(self) -> None:
        """Reads until the socket is shut."""
        while True:
            try:
                data = self._receiver.recv(_MAX_DATAGRAM)
            except OSError:
                return
            if not data:
                return
            line = data.decode(errors="replace").strip()
            if call := parse(line):
                self.calls.append(call)
            elif "_frontend " not in line:
                self.notices.append((time.time(), line.partition("]: ")[2] or line))


@contextlib.contextmanager
def proxy_log() -> Iterator[ProxyLog]:
    """Listens on loopback while the context is entered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        log = ProxyLog(receiver)
        thread = threading.Thread(target=log.follow, name="proxy-log", daemon=True)
        thread.start()
        try:
            yield log
        finally:
            with contextlib.suppress(OSError):
                receiver.shutdown(socket.SHUT_RD)
            # A datagram socket that is shut may go on waiting; an empty datagram ends it in any case.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                host, _, port = log.address.rpartition(":")
                waker.sendto(b"", (host, int(port)))
            thread.join(1.0)

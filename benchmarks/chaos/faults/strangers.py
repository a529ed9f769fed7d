"""Strangers at the gRPC port: connections that say little, nothing, nonsense, or speak another protocol."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from abc import abstractmethod

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.stage import Stage

_CONNECT_TIMEOUT = 2.0
# What an HTTP/2 client says first, and an empty SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# The head of a HEADERS frame of 16,000 bytes on stream 1, of which one comes a second.
_LONG_FRAME = bytes([0, 0x3E, 0x80, 1, 0, 0, 0, 0, 1])
_HTTP1 = b"POST /tickserve.v1.PredictionService/Predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"


class Strangers(Fault):
    """Strangers act in a thread until the fault is taken out; then all they hold is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._stop = threading.Event()
        self._held: list[socket.socket] = []

    def inject(self, stage: Stage) -> None:
        """Lets them begin."""
        host, _, port = stage.target.address.rpartition(":")
        self._address = (host, int(port))
        self._thread = threading.Thread(target=self._act, name=self.name, daemon=True)
        self._thread.start()

    def heal(self, stage: Stage) -> None:
        """Sends them away, once it is known whether a new client is served beside them."""
        self.facts["a new client is served meanwhile"] = "yes" if stage.serves() else "no"
        self._stop.set()
        self._thread.join()
        self.facts["closed by the service"] = str(sum(map(_is_closed, self._held)))
        for connection in self._held:
            connection.close()

    @abstractmethod
    def _act(self) -> None:
        """Does what they do, until `_stop`."""

    def _connect(self) -> socket.socket | None:
        with contextlib.suppress(OSError):
            return socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT)
        return None


class SlowLoris(Strangers):
    """Connections that send what a client sends, a byte a second."""

    name = "slow_loris"
    title = "slow loris, {count} connections"
    hold = 20.0

    def __init__(self, count: int = 200) -> None:
        super().__init__()
        self.count = count

    def _act(self) -> None:
        self._held = [made for made in (self._connect() for _ in range(self.count)) if made is not None]
        self.facts["connected"] = str(len(self._held))
        half = len(self._held) // 2
        for connection in self._held[:half]:  # the other half takes its time from the first byte on
            with contextlib.suppress(OSError):
                connection.send(_PREFACE + _LONG_FRAME)
        for place in itertools.count():
            for index, connection in enumerate(self._held):
                with contextlib.suppress(OSError):
                    connection.send(b"\0" if index < half else _PREFACE[place : place + 1])
            if self._stop.wait(1.0):
                return


class IdleConnections(Strangers):
    """Very many connections that never say anything."""

    name = "idle_connections"
    title = "{count:,} idle connections"
    hold = 20.0

    def __init__(self, count: int = 10_000) -> None:
        super().__init__()
        self.count = count

    def _act(self) -> None:
        began = time.monotonic()
        # Held as soon as made: sent away in the middle of their coming, none may be left open.
        while len(self._held) < self.count and not self._stop.is_set():
            if (made := self._connect()) is None:
                break  # the next ones would not get in either
            self._held.append(made)
        self.facts["connected"] = f"{len(self._held):,} in {time.monotonic() - began:.1f} s"
        self._stop.wait()


class RandomBytes(Strangers):
    """Connections that send nonsense and go."""

    name = "random_bytes"
    title = "random bytes, 50 connections a second"
    hold = 10.0

    def _act(self) -> None:
        count = 0
        while not self._stop.wait(0.02):
            if (made := self._connect()) is None:
                continue
            count += 1
            with made, contextlib.suppress(OSError):
                # Every other one gets as far as HTTP/2 frames.
                made.sendall((_PREFACE if count % 2 else b"") + os.urandom(1 + count * 37 % 4096))
        self.facts["connected"] = str(count)


class Http1(Strangers):
    """HTTP/1.1 where gRPC is spoken."""

    name = "http1"
    title = "HTTP/1.1 on the gRPC port, 50 requests a second"
    hold = 10.0

    def _act(self) -> None:
        answers: dict[str, int] = {}
        while not self._stop.wait(0.02):
            if (made := self._connect()) is None:
                continue
            with made:
                try:
                    made.sendall(_HTTP1)
                    said = made.recv(64)
                except OSError:
                    said = b""
            line = said.split(b"\r\n")[0].decode("ascii", errors="replace") if said else "nothing"
            line = line if line.startswith("HTTP/") else "nothing in HTTP/1.1"
            answers[line] = answers.get(line, 0) + 1
        self.facts["answered"] = ", ".join(f"{line}: {count}" for line, count in sorted(answers.items()))


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while data := connection.recv(4096):
            del data
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

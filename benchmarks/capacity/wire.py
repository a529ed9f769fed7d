"""Bytes on the callers' connections, both ways, from the kernel's own count of each socket (`ss` of iproute2)."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_INTERVAL = 0.25
_SENT = re.compile(r"\bbytes_sent:(\d+)")
_RECEIVED = re.compile(r"\bbytes_received:(\d+)")


class Bytes(NamedTuple):
    """What the callers sent and received."""

    sent: float
    received: float


def is_there() -> bool:
    """Tells whether this machine has the tool."""
    return shutil.which("ss") is not None


def parse(text: str) -> Bytes:
    """Returns the sums over all sockets that `ss -ti` tells of."""
    return Bytes(sum(map(int, _SENT.findall(text))), sum(map(int, _RECEIVED.findall(text))))


class WireClock:
    """Reads the callers' bytes again and again while the context is entered.

    Connections must stay as they are between the instants that are asked about: a closed one is no longer counted.

    Args:
        address: That the callers are connected to, `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._command = ["ss", "-tinH", "dst", address]
        self._readings: list[tuple[float, Bytes]] = []
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> WireClock:
        """Starts reading."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops reading."""
        self._ended.set()
        self._reader.join()

    def between(self, start: float, end: float) -> Bytes:
        """Returns the bytes between two instants of the monotonic clock, at the rate of the readings between them.

        Raises:
            ValueError: There were not two readings: the machine was too busy to look.
        """
        return between(self._readings, start, end)

    def _read(self) -> None:
        while not self._ended.wait(_INTERVAL):
            answer = subprocess.run(self._command, capture_output=True, text=True, check=True, timeout=10)
            sent, received = parse(answer.stdout)
            self._readings.append((time.monotonic(), Bytes(sent, received)))


def between(readings: Sequence[tuple[float, Bytes]], start: float, end: float) -> Bytes:
    """Returns the bytes between two instants, from readings of counts that only grow while no connection is closed.

    Raises:
        ValueError: There are fewer than two readings between them.
    """
    inside = [reading for reading in readings if start <= reading[0] <= end]
    # A closed connection takes its count along: whatever is read from then on is of no use.
    shrunk = (place for place, (last, this) in enumerate(pairwise(inside), 1) if this[1].sent < last[1].sent)
    inside = inside[: next(shrunk, len(inside))]
    if len(inside) < 2:
        raise ValueError("fewer than two readings of the connections in the window; measure on a quieter machine")
    (since, before), (until, after) = inside[0], inside[-1]
    scale = (end - start) / (until - since)
    return Bytes(scale * (after.sent - before.sent), scale * (after.received - before.received))

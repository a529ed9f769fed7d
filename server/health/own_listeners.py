"""The TCP ports that this process itself listens on, as the kernel tells them. Linux only.

Owns the reading of `/proc`; must not know who listens, or why. It blocks: call it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_LOOPBACK_NETWORK = 127


class ListenersUnknownError(RuntimeError):
    """The system has no table of sockets that could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listening socket that can be reached over loopback.

    Attributes:
        inode: Tells it from every other socket that is open at the same time.
        host: The loopback address to reach it at.
        port: Its TCP port.
        is_wildcard: Whether it listens on all addresses, not on loopback alone.
        is_ipv6: Whether it is an IPv6 socket; one that listens on all addresses takes IPv4 as well.
    """

    inode: int
    host: str
    port: int
    is_wildcard: bool
    is_ipv6: bool

    @property
    def target(self) -> str:
        """The address as gRPC takes it; numeric, so that nobody is asked for a name."""
        return f"ipv6:[{self.host}]:{self.port}" if ":" in self.host else f"ipv4:{self.host}:{self.port}"


def own_listeners(process: Path = Path("/proc/self")) -> list[Listener]:
    """Returns the process's own listeners that loopback reaches.

    Raises:
        ListenersUnknownError: The system does not tell.
    """
    try:
        # Descriptors first: a socket that is closed in between is in no table then, one that is opened is not ours yet.
        inodes = set(_socket_inodes(process / "fd"))
        found = list(parse_table((process / "net/tcp").read_text(), is_ipv6=False))
    except FileNotFoundError as error:
        raise ListenersUnknownError(f"{error.filename} is not there") from None
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        found += parse_table((process / "net/tcp6").read_text(), is_ipv6=True)
    return [listener for listener in found if listener.inode in inodes]


def parse_table(table: str, *, is_ipv6: bool) -> Iterator[Listener]:
    """Yields the listeners that loopback reaches from the text of `/proc/<pid>/net/tcp` or `tcp6`.

    Source: proc(5) and the kernel's Documentation/networking/proc_net_tcp.rst. Lines that are not understood are
    passed over.
    """
    for line in table.splitlines()[1:]:
        fields = line.split()
        with contextlib.suppress(ValueError, IndexError):
            if fields[3] != _LISTEN:
                continue
            address, _, port = fields[1].partition(":")
            packed = _unpack(address)
            host = _loopback_host(packed)
            if host:
                yield Listener(
                    inode=int(fields[9]),
                    host=host,
                    port=int(port, 16),
                    is_wildcard=not any(packed),
                    is_ipv6=is_ipv6,
                )


def _socket_inodes(folder: Path) -> Iterator[int]:
    for descriptor in os.listdir(folder):
        # The one that lists the folder is closed by now, and others come and go.
        with contextlib.suppress(FileNotFoundError):
            kind, _, rest = os.readlink(folder / descriptor).partition(":[")
            if kind == "socket":
                yield int(rest.rstrip("]"))


def _unpack(address: str) -> bytes:
    """Returns an address in network order; the kernel prints it as 32-bit words in the machine's own."""
    words = [address[at : at + 8] for at in range(0, len(address), 8)]
    return b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)


def _loopback_host(address: bytes) -> str:
    """Returns the loopback address at which a listener on `address` is reached; empty for none."""
    if not any(address):
        # gRPC's IPv6 wildcard takes IPv4 too, and there may be no IPv6 loopback.
        return "127.0.0.1"
    if len(address) == 16 and address == bytes(15) + b"\x01":
        return "::1"
    mapped = address.removeprefix(bytes(10) + b"\xff\xff") if len(address) == 16 else address
    return ".".join(map(str, mapped)) if len(mapped) == 4 and mapped[0] == _LOOPBACK_NETWORK else ""

"""A network namespace beside this one, joined to it by one cable: what a stranger on the network is to a service in it.

Linux, root and iproute2 only. Nothing of this machine's own network is changed, save for one interface that goes again.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class NoNamespaceError(Exception):
    """This process may not make one; the message says why."""


@dataclass(frozen=True)
class Namespace:
    """A namespace that is there.

    Attributes:
        name: Its name.
        address: Its address, as we reach it.
    """

    name: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs another inside of it, as the same process."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str) -> str:
        """Returns what a command inside prints.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        return _run(*self.inside, *command)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Makes a namespace and takes it away again.

    Raises:
        NoNamespaceError: It cannot be made here.
    """
    if os.geteuid() != 0:
        raise NoNamespaceError("only root may make a network namespace")
    number = os.getpid() % 16_000
    name, here, there = f"ts{number}", f"tsa{number}", f"tsb{number}"
    # Of the network for benchmarks (RFC 2544), which no route of anybody's leads to.
    network = f"198.18.{number // 64}.{number % 64 * 4}"
    base, _, last = network.rpartition(".")
    ours, theirs = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
    try:
        _run("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoNamespaceError(f"no network namespace can be made here: {error}") from None
    try:
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _run("ip", "address", "add", f"{ours}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        made = Namespace(name, theirs)
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "address", "add", f"{theirs}/30", "dev", there)
        made.run("ip", "link", "set", there, "up")
        yield made
    finally:
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

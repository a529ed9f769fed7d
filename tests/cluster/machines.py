"""Machines on one machine: network namespaces on a bridge, each with an address, a loopback and a /tmp of its own.

Linux, root and iproute2 only. Everything is named after this process and goes again: processes by their pids.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.layering import ROOT

_KILL_GRACE = 10.0
# A machine's own /tmp; a checkout below ours stays where it is.
_OWN_TMP = """
case "$3" in
/tmp/*) mkdir -p "$0/${3#/tmp/}" && mount --bind "$3" "$0/${3#/tmp/}" || exit 1 ;;
esac
mount --rbind "$0" /tmp && cd "$1" && exec bash -euo pipefail -c "$2"
"""


class NoMachinesError(Exception):
    """This process may not make any; the message says why."""


@dataclass(frozen=True)
class Machine:
    """A machine that is there.

    Attributes:
        namespace: Its network namespace.
        cable: Our end of its cable.
        address: Its address on the bridge.
        folder: What it sees as /tmp, so that sockets and files of several do not meet.
    """

    namespace: str
    cable: str
    address: str
    folder: Path

    def run(self, script: str, *, env: Mapping[str, str], cwd: Path, timeout: float) -> str:
        """Returns what a shell script prints that runs on the machine; what it leaves behind goes on.

        Raises:
            RuntimeError: It failed; the message has what it said.
            subprocess.TimeoutExpired: It took too long.
        """
        # Files for its output, not pipes: what it leaves behind would hold them open.
        with tempfile.TemporaryFile("w+") as output:
            inside = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "sh", "-c"]
            code = subprocess.run(
                [*inside, _OWN_TMP, str(self.folder), str(cwd), script, str(ROOT)],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
                start_new_session=True,
            ).returncode
            output.seek(0)
            said = output.read()
        if code != 0:
            raise RuntimeError(f"exit code {code} on {self.address}: {script}\n{said}")
        return said

    def pids(self) -> list[int]:
        """Returns the pids of all that runs on the machine."""
        return [int(pid) for pid in _run("ip", "netns", "pids", self.namespace).split()]

    def kill(self) -> None:
        """Kills every process of the machine at once, as a crash does; its address stays and refuses connections."""
        deadline = time.monotonic() + _KILL_GRACE
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(pids)} processes in {self.namespace} outlive SIGKILL")
            time.sleep(0.02)

    def unplug(self) -> None:
        """Pulls its cable: nothing comes through any more, and nobody is told."""
        _run("ip", "link", "set", self.cable, "down")


class Network:
    """A bridge, and the machines on it.

    Args:
        name: Begins the names of all that is made.
        prefix: The first three numbers of its addresses.
        folder: Where the machines' folders are; short, for sockets below it.

    Attributes:
        address: Of this process on the bridge.
        folder: For files that every machine sees under the same path, beside the machines' own.
    """

    def __init__(self, name: str, prefix: str, folder: Path) -> None:
        self._name = name
        self._prefix = prefix
        self.folder = folder
        self._count = 0
        self.address = f"{prefix}.1"
        self.machines: list[Machine] = []

    def add(self) -> Machine:
        """Makes another machine and plugs it in."""
        self._count += 1
        number = self._count
        folder = self.folder / str(number)
        folder.mkdir(mode=0o1777)
        made = Machine(f"{self._name}-{number}", f"{self._name}v{number}", f"{self._prefix}.{10 + number}", folder)
        _run("ip", "netns", "add", made.namespace)
        self.machines.append(made)
        _run("ip", "link", "add", made.cable, "type", "veth", "peer", "name", "eth0", "netns", made.namespace)
        _run("ip", "link", "set", made.cable, "master", self._name, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{made.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _run("ip", "-netns", made.namespace, *command)
        return made

    def close(self) -> None:
        """Kills what runs on the machines and takes them away, whatever state they are in."""
        for machine in self.machines:
            with suppress(subprocess.CalledProcessError):
                machine.kill()
            subprocess.run(["ip", "link", "del", machine.cable], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", machine.namespace], check=False, capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    """Makes a network without machines, and takes it and all of them away again.

    Raises:
        NoMachinesError: It cannot be made here.
    """
    if os.geteuid() != 0:
        raise NoMachinesError("only root may make network namespaces")
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            raise NoMachinesError(f"{program} is not installed (iproute2, util-linux)")
    number = os.getpid() % 100_000
    name = f"tsc{number}"
    folder = Path(tempfile.mkdtemp(prefix=name, dir="/var/tmp"))
    # Of the network for benchmarks (RFC 2544), which no route of anybody's leads to; 198.18 is `support.namespace`'s.
    made = Network(name, f"198.19.{number % 256}", folder)
    try:
        try:
            _run("ip", "link", "add", name, "type", "bridge")
            _run("ip", "address", "add", f"{made.address}/24", "dev", name)
            _run("ip", "link", "set", name, "up")
        except subprocess.CalledProcessError as error:
            raise NoMachinesError(f"no bridge can be made here: {error.stderr}") from None
        yield made
    finally:
        made.close()
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

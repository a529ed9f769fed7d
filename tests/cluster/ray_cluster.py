"""A Ray cluster on machines of one network, started and deployed to with the very commands of docs/cluster.md."""

import json
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.launcher import wait_until_serving
from tests.cluster.machines import Machine, Network
from tests.support.documented import blocks
from tests.support.waiting import wait_for

PAGE = "docs/cluster.md"
# Several nodes start on two cores that tests share.
PATIENCE = 240.0
# What a node of a test does with less of, and the page says nothing of.
_FRUGAL = "--object-store-memory 100000000 --include-log-monitor false"


@dataclass(frozen=True)
class ServeReplica:
    """A replica as Ray Serve's controller tells of it.

    Attributes:
        id: Its id; answers name it.
        address: Of its node.
        state: As in `RUNNING`.
    """

    id: str
    address: str
    state: str


class RayCluster:
    """A head and other nodes.

    Args:
        network: Where its machines are.
        folder: With `cluster.toml` and `ray-token`: what the page has in /etc/tickserve.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TICKSERVE_", "RAY_"))}
        self._env = kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self._commands = [
            command
            for block in blocks(PAGE)
            if block.language == "sh"
            for command in block.text.replace("\\\n", " ").splitlines()
            if command and not command.startswith("#")
        ]
        self.head = self._start("ray start --head", network.add())

    def add(self, *, cpus: int) -> Machine:
        """Starts another node."""
        return self._start("ray start --address", self._network.add(), cpus=cpus)

    def deploy(self) -> None:
        """Prints the configuration and deploys it; does not wait until it is in force."""
        self._type(self.head, "tickserve config", "serve deploy")

    def serving(self, machine: Machine) -> None:
        """Waits until calls through a node's own port are answered.

        Raises:
            server.launch_error.LaunchError: They are not.
        """
        wait_until_serving(target_of(machine), timeout=PATIENCE)

    def replicas(self) -> list[ServeReplica]:
        """Returns the replicas that are there, and those that come or go; none before the application is built.

        Raises:
            RuntimeError: It could not be built.
        """
        application = self._details()["applications"]["tickserve"]
        if application["status"] == "DEPLOY_FAILED":
            raise RuntimeError(application["message"])
        return [
            ServeReplica(id=one["replica_id"], address=one.get("node_ip") or "", state=one["state"])
            for deployment in application["deployments"].values()
            for one in deployment["replicas"]
        ]

    def running(self) -> dict[str, str]:
        """Returns the addresses of the replicas that run, by their ids."""
        return {one.id: one.address for one in self.replicas() if one.state == "RUNNING"}

    def proxies(self) -> dict[str, str]:
        """Returns the states of the nodes' proxies by address."""
        return {one["node_ip"]: one["status"] for one in self._details()["proxies"].values()}

    def await_replicas(self, count: int) -> dict[str, str]:
        """Waits until so many run and no other is coming or going; returns them as `running` does."""
        wait_for(lambda: [one.state for one in self.replicas()] == ["RUNNING"] * count, timeout=PATIENCE)
        return self.running()

    def _start(self, command: str, machine: Machine, *, cpus: int = 0) -> Machine:
        self._type(machine, command, options=_FRUGAL, CPUS=str(cpus))
        return machine

    def _type(self, machine: Machine, *beginnings: str, options: str = "", **variables: str) -> None:
        """Types commands of the page on a machine, after those that set its environment."""
        [*texts] = [self._command(beginning) for beginning in ("export TICKSERVE_CONFIG", "eval", "export RAY_AUTH")]
        texts += [f"{self._command(beginning)} {options}" for beginning in beginnings]
        script = "\n".join(texts).replace("/etc/tickserve", str(self._folder))
        head = self._network.machines[0]
        places = {"HEAD": head.address, "ADDRESS": machine.address}
        machine.run(script, env=self._env | places | variables, cwd=self._folder, timeout=PATIENCE)

    def _command(self, beginning: str) -> str:
        """Returns the one command of the page that begins so."""
        found = {command for command in self._commands if command.startswith(beginning)}
        assert len(found) == 1, f"{PAGE} has {len(found)} commands that begin with {beginning!r}"
        return found.pop()

    def _details(self) -> dict[str, Any]:
        """Returns what the head's REST interface tells of Ray Serve."""
        token = (self._folder / "ray-token").read_text(encoding="utf-8").strip()
        request = urllib.request.Request(
            f"http://{self.head.address}:8265/api/serve/applications/", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            details = json.load(answer)
        assert isinstance(details, dict)
        return details


def target_of(machine: Machine) -> str:
    """Returns where a node's gRPC side is."""
    return f"{machine.address}:9000"

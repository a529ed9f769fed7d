"""The chart's Redis script with real Redis processes: three pods on loopback addresses, of which some are lost."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from server.redis_client import redis_client
from tests.support.helm_chart import CHART
from tests.support.redis_server import require_redis
from tests.support.waiting import wait_for

PASSWORD = "not-for-everybody"
PLACES = (1, 2, 3)
_SCRIPT = ("sh", str(CHART / "files/redis.sh"))


class Pods:
    """Pods of a StatefulSet: a Redis and a Sentinel each, that share a folder, which outlives them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        network = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
        self.hosts = [f"{network}.{place}" for place in PLACES]
        self._running: dict[int, list[subprocess.Popen[bytes]]] = {}
        (folder / "password").write_text(f"{PASSWORD}\n")

    def start(self, place: int) -> None:
        """Starts a pod, for the first time or again."""
        (self._folder / f"data-{place}").mkdir(exist_ok=True)
        shutil.rmtree(self._folder / f"conf-{place}", ignore_errors=True)
        (self._folder / f"conf-{place}").mkdir()
        self._running[place] = [
            subprocess.Popen(
                [*_SCRIPT, kind], env=self._environment(place), stdout=subprocess.DEVNULL, start_new_session=True
            )
            for kind in ("redis", "sentinel")
        ]

    def is_alive(self, place: int, **environment: str) -> bool:
        """Tells what a pod's liveness probe says."""
        done = subprocess.run(
            [*_SCRIPT, "alive"],
            env=self._environment(place) | environment,
            capture_output=True,
            timeout=10,
            check=False,
        )
        return done.returncode == 0

    def _environment(self, place: int) -> dict[str, str]:
        names = {"HOSTS": " ".join(self.hosts), "HOSTNAME": f"redis-{place - 1}", "BIND": self.hosts[place - 1]}
        names |= {"DATA": str(self._folder / f"data-{place}"), "CONF": str(self._folder / f"conf-{place}")}
        names |= {"MAX_MEMORY": "16mb", "MIN_REPLICAS": "1", "DOWN_AFTER": "500", "REDISCLI_AUTH": PASSWORD}
        return names | {"PATH": os.environ["PATH"]}

    def lose(self, place: int) -> None:
        """Kills a pod."""
        for process in self._running.pop(place, []):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, place: int, *command: str, port: int = 6379) -> str:
        """Returns what a pod answers; empty where it does not."""
        done = subprocess.run(
            ["redis-cli", "-h", self.hosts[place - 1], "-p", str(port), *command],
            env={"PATH": os.environ["PATH"], "REDISCLI_AUTH": PASSWORD},
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def master(self) -> int | None:
        """Returns the place of the master that the living pods agree on, with a replica beside it; None: not yet."""
        said = {
            self.ask(place, "SENTINEL", "get-master-addr-by-name", "tickserve", port=26379) for place in self._running
        }
        if len(said) != 1:
            return None
        host = said.pop().partition("\n")[0]
        if host not in self.hosts:
            return None
        place = self.hosts.index(host) + 1
        replicas = [line for line in self.ask(place, "ROLE").splitlines() if line in self.hosts]
        # Sentinels hear of each other and of replicas by and by; what they never heard of they could not move.
        for each in self._running:
            for kind in ("sentinels", "replicas"):
                known = self.ask(each, "SENTINEL", kind, "tickserve", port=26379).splitlines().count("runid")
                if known < len(self._running) - 1:
                    return None
        is_whole = len(replicas) == len(self._running) - 1 and self.ask(place, "ROLE").startswith("master")
        return place if is_whole else None

    @property
    def url(self) -> str:
        """The address that the chart gives to replicas."""
        return f"redis+sentinel://{','.join(f'{host}:26379' for host in self.hosts)}/tickserve/0?sentinel_auth=true"

    def set(self, name: str, value: str) -> bool | None:
        """Writes as a replica of the service does; None: refused, or nobody there."""

        async def write() -> bool:
            client = redis_client(self.url, password_file=self._folder / "password", max_connections=2)
            try:
                async with asyncio.timeout(5):
                    return bool(await client.set(name, value))
            finally:
                await client.aclose()

        with suppress(RedisError, OSError, TimeoutError):
            return asyncio.run(write())
        return None


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    """Three pods that know each other."""
    require_redis()
    made = Pods(tmp_path)
    try:
        for place in PLACES:
            made.start(place)
        yield made
    finally:
        for place in PLACES:
            made.lose(place)


def test_a_lost_master_is_replaced_and_nothing_is_forgotten(pods: Pods) -> None:
    """Another takes over with what was written; the lost one comes back with older data and follows.

    When all are lost, an older one does not become the master of a newer: the Sentinels remember who was it.
    """
    first = wait_for(pods.master)
    assert wait_for(lambda: pods.set("before", "1"))
    assert pods.ask(first, "WAIT", "2", "5000") == "2"
    assert all(pods.is_alive(place) for place in PLACES)

    pods.lose(first)
    assert not pods.is_alive(first)
    assert wait_for(lambda: pods.set("after", "2"))
    second = wait_for(pods.master)
    assert second != first
    assert pods.ask(second, "GET", "before") == "1"

    pods.start(first)
    third = wait_for(pods.master)
    assert pods.ask(third, "WAIT", "2", "5000") == "2"
    assert [pods.ask(place, "GET", "after") for place in PLACES] == ["2"] * len(PLACES)

    for place in PLACES:
        pods.lose(place)
    for place in PLACES:
        pods.start(place)
    assert pods.ask(wait_for(pods.master), "GET", "after") == "2"


def test_a_replica_without_a_master_is_to_start_again(pods: Pods) -> None:
    """Left behind by a failover it would wait for a lost master for ever; its probe says so, and a master's never."""
    master = wait_for(pods.master)
    left, *others = (place for place in PLACES if place != master)
    for place in (master, *others):
        pods.lose(place)
    assert pods.is_alive(left)
    assert wait_for(lambda: not pods.is_alive(left, ORPHAN_AFTER="1"))

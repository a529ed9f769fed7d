"""A cluster on this machine: a head, two nodes and a Redis, each a network namespace of its own but for the Redis."""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.layering import ROOT
from tests.cluster.machines import Machine, Network, NoMachinesError, network
from tests.cluster.ray_cluster import RayCluster
from tests.support.registry import make_registry
from tests.support.service import COMPILED_CACHE

FIGURES = ROOT / "build/cluster/figures.json"
# A replica takes a node's only CPU, so that each of the first two nodes has one.
_SETTINGS = """
host = "0.0.0.0"
registry = "{folder}/registry"
redis_password_file = "{folder}/redis-password"
engine = "torchscript"
precision = "fp32"
replicas = 2
replica_cpus = 1.0
stream_drain_grace = 4.0
stream_max_age = 3000.0

[security]
allow_insecure_public_bind = true

[models]
compiled_cache = "{cache}"

[windows]
store = "redis"
redis_url = "redis://{redis}:6379/0"
read_timeout = 5.0

# Two cores for a whole cluster: no prediction is to be missed because of that.
[default_timeouts]
real_time = 60.0
standard = 60.0
background = 60.0
"""


@dataclass
class Stage:
    """What the tests of this folder play on, one after the other.

    Attributes:
        cluster: Ray.
        first: A node that gets lost.
        second: A node that stays.
        settings: The service's settings file.
    """

    cluster: RayCluster
    first: Machine
    second: Machine
    settings: Path


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, Any]]:
    """What was counted and timed, by test; kept in build/cluster/figures.json."""
    kept: dict[str, Any] = {}
    yield kept
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def stage(figures: dict[str, Any]) -> Iterator[Stage]:
    """The cluster with two replicas, one on each node that is not the head."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed; `make test-cluster` installs it where it may")
    try:
        with network() as net:
            folder = net.folder / "etc"
            folder.mkdir()
            make_registry(folder / "registry", versions=1)
            password = secrets.token_urlsafe(16)
            (folder / "redis-password").write_text(password + "\n", encoding="utf-8")
            (folder / "ray-token").write_text(secrets.token_hex(32) + "\n", encoding="utf-8")
            settings = folder / "cluster.toml"
            settings.write_text(
                _SETTINGS.format(folder=folder, redis=net.address, cache=COMPILED_CACHE), encoding="utf-8"
            )
            with _redis(net, folder, password):
                yield _staged(net, folder, settings, figures)
    except NoMachinesError as error:
        pytest.skip(f"no cluster can be made here: {error}")


def _staged(net: Network, folder: Path, settings: Path, figures: dict[str, Any]) -> Stage:
    began = time.monotonic()
    cluster = RayCluster(net, folder)
    first, second = cluster.add(cpus=1), cluster.add(cpus=1)
    nodes = time.monotonic()
    cluster.deploy()
    cluster.await_replicas(2)
    for machine in (cluster.head, first, second):
        cluster.serving(machine)
    figures["start"] = {
        "three_nodes_s": round(nodes - began, 1),
        "deployed_and_answering_s": round(time.monotonic() - nodes, 1),
    }
    return Stage(cluster=cluster, first=first, second=second, settings=settings)


@contextmanager
def _redis(net: Network, folder: Path, password: str) -> Iterator[None]:
    """Runs the Redis that all nodes reach, on our own end of the bridge."""
    server = subprocess.Popen(
        ["redis-server", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        text=True,
    )
    assert server.stdin is not None
    # By its standard input: a command line can be read by everybody.
    server.stdin.write(f'bind {net.address}\nport 6379\nsave ""\nappendonly no\nrequirepass {password}\n')
    server.stdin.close()
    try:
        yield
    finally:
        server.kill()
        server.wait()

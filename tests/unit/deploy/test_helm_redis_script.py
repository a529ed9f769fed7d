"""The chart's Redis script: when a pod is ready, and passwords of any kind."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.helm_chart import CHART, rendered
from tests.support.redis_server import require_redis
from tests.support.waiting import wait_for

SCRIPT = str(CHART / "files/redis.sh")
PASSWORD = "a 'b\" c\\d\\\\ #e $HOME \\n"


def environment(folder: Path, hosts: list[str], place: int, password: str = PASSWORD) -> dict[str, str]:
    """Returns the variables that the chart gives to a pod, with its folders."""
    names = {"HOSTS": " ".join(hosts), "HOSTNAME": f"redis-{place}", "BIND": hosts[place], "PATH": os.environ["PATH"]}
    for name in ("DATA", "CONF"):
        (folder / f"{name}-{place}").mkdir(exist_ok=True)
        names[name] = str(folder / f"{name}-{place}")
    return names | {"MAX_MEMORY": "16mb", "MIN_REPLICAS": "1", "DOWN_AFTER": "500", "REDISCLI_AUTH": password}


def says_yes(kind: str, names: Mapping[str, str]) -> bool:
    """Tells what a probe says."""
    done = subprocess.run(["sh", SCRIPT, kind], env=dict(names), capture_output=True, timeout=20, check=False)
    return done.returncode == 0


@contextmanager
def running(kind: str, names: Mapping[str, str]) -> Iterator[None]:
    """Runs a container of a pod."""
    process = subprocess.Popen(["sh", SCRIPT, kind], env=dict(names), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


MASTER = "loading:0\r\nrole:master\r\nconnected_slaves:0\r\n"


@pytest.mark.parametrize(
    ("said", "is_ready"),
    [
        (MASTER, True),
        ("loading:0\r\nrole:slave\r\nmaster_link_status:up\r\n", True),
        ("loading:0\r\nrole:slave\r\nmaster_link_status:down\r\n", False),
        ("loading:1\r\nrole:master\r\nasync_loading:0\r\n", False),
        ("loading:1\r\nrole:slave\r\nmaster_link_status:up\r\n", False),
        ("NOAUTH Authentication required.\n", False),
        ("LOADING Redis is loading the dataset in memory\n", False),
        ("", False),
    ],
)
def test_a_redis_is_ready_when_it_has_all_there_is(tmp_path: Path, said: str, is_ready: bool) -> None:
    """`redis-cli` ends well with any answer, errors too: what it says is what counts."""
    (tmp_path / "said").write_text(said, newline="")
    client = tmp_path / "redis-cli"
    client.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
    client.chmod(0o755)
    names = environment(tmp_path, ["127.0.0.1"], 0)
    assert says_yes("ready", names | {"PATH": f"{tmp_path}:{names['PATH']}"}) == is_ready


def test_readiness_asks_the_script() -> None:
    """Both containers of a pod, by what the script knows; a single Redis as well."""
    asked = [
        (container["name"], container["readinessProbe"]["exec"]["command"][-1])
        for values in ({}, {"redis": {"internal": {"replicas": 1}}})
        for container in rendered(values).pod("redis").containers
    ]
    assert asked == [("redis", "ready"), ("sentinel", "watching"), ("redis", "ready")]


def test_a_password_may_have_any_character(tmp_path: Path) -> None:
    """Redis, replica and Sentinel take it as it is, after the Sentinel has rewritten its file too, and no other."""
    require_redis()
    network = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
    hosts = [f"{network}.1", f"{network}.2"]
    master, replica = (environment(tmp_path, hosts, place) for place in (0, 1))
    with ExitStack() as stack:
        stack.enter_context(running("redis", replica))
        wait_for((tmp_path / "CONF-1/redis.conf").exists)
        assert not says_yes("ready", replica)
        assert not says_yes("ready", master)
        stack.enter_context(running("redis", master))
        wait_for(lambda: says_yes("ready", master))
        # Its link to the master needs the password.
        wait_for(lambda: says_yes("ready", replica))
        assert not says_yes("ready", master | {"REDISCLI_AUTH": PASSWORD.replace("\\", "")})
        for _ in range(2):
            with running("sentinel", master):
                wait_for(lambda: says_yes("watching", master))
                assert not says_yes("watching", master | {"REDISCLI_AUTH": "another"})
                # Only who may log in at the master hears of its replica.
                wait_for(lambda: hosts[1] in sentinel(master, "SENTINEL", "replicas", "tickserve"))
                assert sentinel(master, "SENTINEL", "flushconfig") == "OK\n"
        changed = master | {"REDISCLI_AUTH": "another"}
        with running("sentinel", changed):
            # The password of this start, and not the one that a Sentinel wrote down as its default user's.
            wait_for(lambda: says_yes("watching", changed), timeout=20)
            assert not says_yes("watching", master)


def sentinel(names: Mapping[str, str], *command: str) -> str:
    """Returns what the Sentinel of a pod answers."""
    asked = ["redis-cli", "-h", names["BIND"], "-p", "26379", *command]
    return subprocess.run(asked, env=dict(names), capture_output=True, text=True, timeout=10, check=False).stdout

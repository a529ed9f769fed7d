"""A Redis that fails over: a master, its replica and three Sentinels, all on loopback ports of their own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from tests.support.redis_server import RedisServer, free_ports, require_redis

SERVICE = "windows"
PASSWORD = "a-secret-of-the-test"
_READY = 60.0
_SENTINEL = """\
port {port}
bind 127.0.0.1
dir {folder}
requirepass {password}
sentinel sentinel-pass {password}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 4000
"""


class RedisSentinels:
    """All five.

    Attributes:
        servers: Two servers; the first is the master at the start.
        url: As tickserve takes it; without the password, which is to come from a file.
    """

    def __init__(self, servers: tuple[RedisServer, RedisServer], sentinels: list[RedisServer]) -> None:
        self.servers = servers
        self._sentinels = sentinels
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        self.url = f"redis+sentinel://{places}/{SERVICE}/0?sentinel_auth=true"

    def call(self, server: RedisServer, *command: str) -> object:
        """Runs one command at a server and returns its answer."""
        with Redis(port=server.port, password=PASSWORD, protocol=2) as client:
            return client.execute_command(*command)

    def master_port(self) -> int:
        """Returns the port of the master as the first Sentinel that lives has it."""
        sentinel = next(sentinel for sentinel in self._sentinels if sentinel.runs)
        with Redis(port=sentinel.port, password=PASSWORD, protocol=2) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def cut_replica_off(self) -> None:
        """Has the replica lose its master without a way back: what is written from now on does not reach it."""
        replica = self.servers[1]
        self.call(replica, "CONFIG", "SET", "masterauth", "wrong")
        self.call(replica, "CLIENT", "KILL", "TYPE", "master")

    def in_step(self) -> bool:
        """Tells whether the replica has all that the master has, and every Sentinel knows all the others."""
        for sentinel in self._sentinels:
            with Redis(port=sentinel.port, password=PASSWORD, protocol=2) as client:
                state = client.sentinel_master(SERVICE)
            if (state["num-slaves"], state["num-other-sentinels"]) != (1, 2):
                return False
        return self._offset(0, "master_repl_offset") == self._offset(1, "slave_repl_offset")

    def _offset(self, index: int, name: str) -> object:
        with Redis(port=self.servers[index].port, password=PASSWORD, protocol=2) as client:
            return client.info("replication").get(name)

    def stop_sentinel(self) -> None:
        """Kills the Sentinel that addresses name first."""
        self._sentinels[0].stop()

    def freeze_sentinel(self) -> None:
        """Stops that Sentinel where it is: connections are taken and nothing answers."""
        self._sentinels[0].freeze()


@contextlib.contextmanager
def redis_sentinels(folder: Path) -> Iterator[RedisSentinels]:
    """Runs all five; skips the test where the machine has no Redis."""
    require_redis()
    ports = free_ports(5)
    secured = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
    master = RedisServer(folder, ports[0], *secured)
    replica = RedisServer(folder, ports[1], *secured, "--replicaof", "127.0.0.1", str(ports[0]))
    sentinels = []
    for port in ports[2:]:
        config = folder / f"sentinel-{port}.conf"
        config.write_text(
            _SENTINEL.format(port=port, folder=folder, password=PASSWORD, service=SERVICE, master=ports[0])
        )
        sentinels.append(RedisServer(folder, port, config=config))
    with contextlib.ExitStack() as stack:
        for server in (master, replica, *sentinels):
            stack.callback(server.stop)
            server.start()
        group = RedisSentinels((master, replica), sentinels)
        give_up = time.monotonic() + _READY
        while not group.in_step():
            if time.monotonic() > give_up:
                raise TimeoutError("the Sentinels did not find each other and the replica")
            time.sleep(0.05)
        yield group

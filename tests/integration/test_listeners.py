"""A service behind its TLS edge, in a network namespace of its own: what a stranger on the network meets.

Where no namespace can be made (that needs root), the service listens on loopback, and strangers are not played.
"""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner

from server.config.metrics_settings import MetricsSettings
from server.config.settings import Settings
from server.config.tls_settings import TlsSettings
from server.edge.listeners import ALL, Listener, Opener, is_loopback, listeners, owner_of
from server.process_tree import descendants
from server.security.edge_identity import IDENTITY_HEADER, SECRET_HEADER, SECRET_VARIABLE
from tests.integration.conftest import Service, environment, free_port, serving
from tests.integration.test_grpcurl import GRPCURL
from tests.support.certificates import Authority, Pair
from tests.support.namespace import Namespace, NoNamespaceError, namespace
from tests.support.registry import make_registry
from tests.support.waiting import wait_for
from tickserve import Client, TickserveError
from tickserve.cli.app import build_app

TIMEOUT = 30.0
# Takes pickled arguments, so whoever may call it can run code.
BETWEEN_REPLICAS = "/ray.serve.ASGIService/HandleRequest"


@dataclass(frozen=True)
class Public:
    """The service, its edge, and the way to it."""

    service: Service
    env: dict[str, str]
    authority: Authority
    desk: Pair
    host: str
    namespace: Namespace | None

    @property
    def target(self) -> str:
        """The edge's gRPC side."""
        return f"{self.host}:{self.env['TICKSERVE_TLS__GRPC_PORT']}"

    def client(self) -> Client:
        """Returns a client that the edge lets in."""
        ca, cert, key = self.authority.cert, self.desk.cert, self.desk.key
        return Client(self.target, default_timeout=TIMEOUT, ca=ca, cert=cert, key=key)

    def table(self) -> tuple[Listener, ...]:
        """Returns the table of ports for its settings."""
        settings = Settings(
            host=self.host,
            grpc_port=int(self.env["TICKSERVE_GRPC_PORT"]),
            http_port=int(self.env["TICKSERVE_HTTP_PORT"]),
            metrics=MetricsSettings(port=int(self.env["TICKSERVE_METRICS__PORT"])),
            tls=TlsSettings(
                cert=Path("c"),
                key=Path("k"),
                client_ca=Path("a"),
                grpc_port=int(self.env["TICKSERVE_TLS__GRPC_PORT"]),
                http_port=int(self.env["TICKSERVE_TLS__HTTP_PORT"]),
            ),
        )
        return listeners(settings, self.env)

    def run(self, *command: str) -> str:
        """Returns what a command prints where the service is."""
        if self.namespace is not None:
            return self.namespace.run(*command)
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def sockets(self) -> set[tuple[Opener, int, str]]:
        """Returns the listening sockets of the service's processes: who, where, bound to what."""
        family = {self.service.process.pid, *descendants(self.service.process.pid)}
        found = set()
        for line in self.run("ss", "-ltnpH").splitlines():
            pids = {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & family
            address, _, port = line.split()[3].rpartition(":")
            address = address.strip("[]").partition("%")[0]
            if pids:
                found.add((opener(min(pids)), int(port), ALL if address in ("*", "0.0.0.0", "::") else address))
        return found


def opener(pid: int) -> Opener:
    """Tells what kind of process a pid is."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    if "haproxy" in command.split(" ")[0]:
        return "edge" if "tickserve-edge" in command else "haproxy"
    if command.startswith("ray::ServeReplica"):
        return "replica"
    return "fallback" if command.startswith("ray::ProxyActor") else "ray"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Public]:
    """A service that asks for client certificates; no test may stop it."""
    folder = tmp_path_factory.mktemp("public")
    make_registry(folder / "registry")
    with ExitStack() as stack:
        try:
            space = stack.enter_context(namespace())
        except NoNamespaceError:
            space = None
        host = "127.0.0.1" if space is None else space.address
        authority = Authority(folder / "certificates")
        pair = authority.server(addresses=(host,))
        env = environment(
            folder / "registry",
            TICKSERVE_HOST=host,
            TICKSERVE_TLS__GRPC_PORT=str(free_port()),
            TICKSERVE_TLS__HTTP_PORT=str(free_port()),
            TICKSERVE_TLS__CERT=str(pair.cert),
            TICKSERVE_TLS__KEY=str(pair.key),
            TICKSERVE_TLS__CLIENT_CA=str(authority.cert),
        )
        inside = () if space is None else space.inside
        service = stack.enter_context(serving(env, folder / "registry", inside=inside))
        yield Public(service, env, authority, authority.client("desk-1"), host, space)


@pytest.fixture
def strangers_view(public: Public) -> Public:
    """The service, where this process is a stranger to it."""
    if public.namespace is None:
        pytest.skip("strangers need a network namespace, and so root")
    return public


def test_the_ready_line_names_the_edge(public: Public) -> None:
    """With its ports, which are those that clients use."""
    [line] = [line for line in public.service.output if line.startswith("tickserve ready")]
    http = f"{public.host}:{public.env['TICKSERVE_TLS__HTTP_PORT']}"
    assert line == f"tickserve ready grpc={public.target} http={http} tls=on\n"


def test_the_service_answers_over_tls(public: Public) -> None:
    """Unary calls, streams and health, by the client's own options."""
    window = np.full((50, 60), 0.5, dtype=np.float32)
    with public.client() as client:
        assert client.health() == "SERVING"
        assert client.predict(window).label in ("sell", "hold", "buy")
        with client.stream_ticks(["TLS"], open_timeout=TIMEOUT) as ticks:
            assert set(ticks.opened.symbols) == {"TLS"}


def test_other_programs_reach_it(public: Public) -> None:
    """The command line, grpcurl and an HTTP client, each with its certificate."""
    files = [str(path) for path in (public.authority.cert, public.desk.cert, public.desk.key)]
    ca, cert, key = files
    asked = CliRunner().invoke(
        build_app(), ["health", "-t", public.target, "--ca", ca, "--cert", cert, "--key", key, "--timeout", "30"]
    )
    assert asked.exit_code == 0, asked.output
    command = [str(GRPCURL), "-cacert", ca, "-cert", cert, "-key", key, "-max-time", "30", public.target]
    checked = subprocess.run(
        [*command, "grpc.health.v1.Health/Check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(checked.stdout) == {"status": "SERVING"}, checked.stderr
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    url = f"https://{public.host}:{public.env['TICKSERVE_TLS__HTTP_PORT']}/healthz"
    with urllib.request.urlopen(url, timeout=TIMEOUT, context=context) as response:
        assert response.status == 200


def test_without_a_certificate_nobody_gets_in(public: Public) -> None:
    """Not even to health: the connection is not made."""
    with Client(public.target, ca=public.authority.cert, retry=None) as client, pytest.raises(TickserveError):
        client.health(timeout=5)


def test_the_table_is_what_listens(public: Public) -> None:
    """Each socket has its row, no wider open than the row says; each row with a port of its own has its socket."""
    table = public.table()
    sockets = public.sockets()
    rows = {found: owner_of(table, opener=found[0], port=found[1], address=found[2]) for found in sockets}
    assert [found for found, row in rows.items() if row is None] == []
    seen = [row.name for row in rows.values() if row is not None]
    assert {row.name for row in table} <= set(seen)
    # What the system chooses a port for could hide something new: there is one such socket, of the one replica.
    assert seen.count("calls between replicas") == 1


def test_the_secret_is_in_no_command_line(public: Public) -> None:
    """Everybody can read those; it is in the environment, which only the user can."""
    environment = Path(f"/proc/{public.service.replica_pid()}/environ").read_bytes().split(b"\0")
    [secret] = [value.partition(b"=")[2] for value in environment if value.startswith(SECRET_VARIABLE.encode() + b"=")]
    assert len(secret) > 40
    for pid in (public.service.process.pid, *descendants(public.service.process.pid)):
        assert secret not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_edge_comes_back(public: Public) -> None:
    """Killed, it is there again, and so are the clients."""
    [edge] = [pid for pid in descendants(public.service.process.pid) if opener(pid) == "edge"]
    with public.client() as client:
        assert client.health() == "SERVING"
        os.kill(edge, signal.SIGKILL)

        def serves() -> bool:
            try:
                return client.health(timeout=2) == "SERVING"
            except TickserveError:
                return False

        assert wait_for(lambda: not Path(f"/proc/{edge}").exists() and serves())


def test_what_is_on_loopback_is_out_of_reach(strangers_view: Public) -> None:
    """Whatever a stranger knocks at, save the edge and what the table calls open to all, nobody is at home."""
    host = strangers_view.host
    ports = {port for who, port, address in strangers_view.sockets() if is_loopback(address)}
    assert len(ports) > 10
    assert {port for port in ports if is_open(host, port)} == set()


def test_what_is_open_to_all_refuses_strangers(strangers_view: Public) -> None:
    """Without the edge's secret, or with a made-up one, no call is served; Ray's own calls ask for Ray's token."""
    host = strangers_view.host
    table = strangers_view.table()
    asked = set()
    for who, port, address in strangers_view.sockets():
        row = owner_of(table, opener=who, port=port, address=address)
        if address != ALL or row is None or who == "haproxy":
            continue  # HAProxy's two show figures to whoever comes: only the firewall keeps strangers off
        asked.add(row.name)
        if row.name == "calls between replicas":
            with grpc.insecure_channel(f"{host}:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
                _call(channel, BETWEEN_REPLICAS)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            continue
        for said in ((), ((SECRET_HEADER, "guessed"), (IDENTITY_HEADER, "desk-1"))):
            with Client(f"{host}:{port}", metadata=said, retry=None) as client, pytest.raises(TickserveError) as caught:
                client.predict(np.zeros((50, 60), dtype=np.float32), timeout=TIMEOUT)
            assert caught.value.reason == ("MODEL_LOADING" if who == "fallback" else "EDGE_REQUIRED")
    assert asked == {"a replica's gRPC", "calls between replicas", "fallback gRPC"}


def test_the_firewall_leaves_only_the_edge(strangers_view: Public) -> None:
    """Then every other port refuses strangers, while the service goes on; without it they are as before."""
    if shutil.which("nft") is None:
        pytest.skip("nftables is not installed")
    host = strangers_view.host
    edge = {port for who, port, _ in strangers_view.sockets() if who == "edge"}
    others = {port for who, port, _ in strangers_view.sockets() if who != "edge"}
    assert any(is_open(host, port) for port in others)
    _firewall(strangers_view, "apply")
    try:
        assert {port for port in others if is_open(host, port)} == set()
        assert {port for port in edge if is_open(host, port)} == edge
        with strangers_view.client() as client:
            assert client.health() == "SERVING"
            assert client.models()
    finally:
        _firewall(strangers_view, "remove")
    assert any(is_open(host, port) for port in others)


def is_open(host: str, port: int) -> bool:
    """Tells whether a connection can be made."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def _call(channel: grpc.Channel, method: str) -> None:
    call: Any = channel.unary_unary(method)
    call(b"", timeout=TIMEOUT)


def _firewall(public: Public, order: str) -> None:
    """Runs `tickserve firewall` where the service is, with the service's own environment."""
    assert public.namespace is not None
    script = "from server.commands.firewall import app; app()"
    subprocess.run(
        [*public.namespace.inside, sys.executable, "-c", script, order],
        env=public.env,
        check=True,
        capture_output=True,
        timeout=60,
    )

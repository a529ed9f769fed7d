"""One live service that asks for keys, a TLS edge before it, and the programs that `make test-clients` has built."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.layering import ROOT
from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan
from server.edge.settings_edge import new_secret
from tests.clients.example import COMMANDS, Example
from tests.integration.conftest import Service, environment, free_port, serving
from tests.support.certificates import Authority
from tests.support.registry import make_registry

# So few that the third background call is refused, however slow this machine is.
BACKGROUND_RATE = "background=0.5:2"


@dataclass(frozen=True)
class Reachable:
    """The service as its callers know it.

    Attributes:
        target: Plain text.
        tls_target: The same service behind TLS.
        ca: Who vouches for the latter.
        keys: API keys by id: one for each language, whose limits thus do not meet, and `python`.
    """

    target: str
    tls_target: str
    ca: Path
    keys: dict[str, str]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reachable]:
    """The service that all tests share: narrow networks, and keys with a small limit for background calls."""
    folder = tmp_path_factory.mktemp("clients")
    keys = {name: _add_key(folder / "keys.json", name) for name in (*COMMANDS, "python")}
    registry = make_registry(folder / "registry")
    env = environment(registry, TICKSERVE_SECURITY__KEYS_FILE=str(folder / "keys.json"))
    with serving(env, registry) as running, _tls_edge(running, folder) as (target, ca):
        yield Reachable(running.target, target, ca, keys)


@pytest.fixture(scope="session", params=list(COMMANDS))
def example(request: pytest.FixtureRequest, service: Reachable) -> Example:
    """One program; `make test-clients` builds them."""
    return Example(request.param, service.target, service.keys[request.param])


def _add_key(file: Path, name: str) -> str:
    command = [str(Path(sys.executable).with_name("tickserve")), "keys", "add", name, "--rate", BACKGROUND_RATE]
    done = subprocess.run([*command, "--file", str(file)], check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip()


@contextmanager
def _tls_edge(service: Service, folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs the edge of `tickserve serve --tls-cert` before a service that answers plain text, too."""
    authority = Authority(folder / "authority")
    pair = authority.server()
    plan = EdgePlan(
        folder=folder,
        host="127.0.0.1",
        grpc_port=free_port(),
        http_port=free_port(),
        max_connections=100,
        inner_grpc=service.target,
        inner_http=service.http.removeprefix("http://"),
    )
    files = CertificateFiles(cert=pair.cert, key=pair.key)
    edge = Edge(plan, files, identities={}, secret=new_secret(), reload_interval=1.0)
    try:
        edge.prepare()
        edge.start()
        yield f"localhost:{plan.grpc_port}", authority.cert
    finally:
        edge.close()

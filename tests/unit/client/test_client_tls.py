"""A client over TLS: what it trusts, whom it says it is, and what contradicts itself."""

import asyncio
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from typer.testing import CliRunner

from tests.support.certificates import Authority
from tickserve import AsyncClient, Client, TickserveError
from tickserve.cli.app import build_app
from tickserve.tls import channel_credentials

TIMEOUT = 20.0


class Secured:
    """A server that asks for client certificates of its authority.

    Args:
        folder: For certificates.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        pair, desk = self.authority.server(), self.authority.client("desk-1")
        self.files: dict[str, Any] = {"ca": self.authority.cert, "cert": desk.cert, "key": str(desk.key)}
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), self._server)
        credentials = grpc.ssl_server_credentials(
            [(pair.key_pem, pair.cert_pem)], self.authority.cert_pem, require_client_auth=True
        )
        self.target = f"localhost:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def close(self) -> None:
        """Stops it."""
        self._server.stop(None).wait()


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """A running server."""
    server = Secured(tmp_path)
    yield server
    server.close()


async def ask(kind: type[Client] | type[AsyncClient], target: str, **options: Any) -> str:
    """Returns what health says to a client, which reads no file in an event loop."""
    if kind is AsyncClient:
        options = await asyncio.to_thread(contents, options)
        async with AsyncClient(target, **options) as asynchronous:
            return await asynchronous.health(timeout=TIMEOUT)

    def call() -> str:
        with Client(target, **options) as synchronous:
            return synchronous.health(timeout=TIMEOUT)

    return await asyncio.to_thread(call)


def contents(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the same options with bytes in place of files."""
    return {name: value if value is True else Path(value).read_bytes() for name, value in options.items()}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_files_are_all_it_needs(secured: Secured, kind: type[Client] | type[AsyncClient]) -> None:
    """An authority to trust, and a certificate to show, as files or as what is in them."""
    assert await ask(kind, secured.target, **secured.files) == "SERVING"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("options", ["nothing to show", "the usual authorities", "plain text"])
async def test_less_is_not_enough(secured: Secured, kind: type[Client] | type[AsyncClient], options: str) -> None:
    """Without a certificate, with public authorities alone, or without TLS: no connection."""
    ways: dict[str, dict[str, Any]] = {
        "nothing to show": {"ca": secured.authority.cert},
        "the usual authorities": {"tls": True},
        "plain text": {},
    }
    with pytest.raises(TickserveError):
        await ask(kind, secured.target, **ways[options])


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cert": "c.pem"}, ValueError),
        ({"ca": "a.pem", "key": "k.pem"}, ValueError),
        ({"tls": True, "credentials": grpc.ssl_channel_credentials()}, ValueError),
        ({"ca": "/nonexistent/ca.pem"}, OSError),
        ({"tsl": True}, TypeError),
    ],
)
def test_a_contradiction_is_told_at_once(
    kind: type[Client] | type[AsyncClient], options: dict[str, Any], error: type[Exception]
) -> None:
    """When the client is made, not at its first call."""
    with pytest.raises(error):
        kind("localhost:1", **options)


def test_nothing_asked_for_is_plain_text() -> None:
    """And credentials of the caller's own are taken as they are."""
    assert channel_credentials() is None
    own = grpc.ssl_channel_credentials()
    assert channel_credentials(own) is own


@pytest.mark.parametrize("way", ["options", "variables"])
def test_the_command_line_has_the_same_options(secured: Secured, way: str) -> None:
    """Given as options or in the environment."""
    files = {name: str(path) for name, path in secured.files.items()}
    options = [word for name, path in files.items() for word in (f"--{name}", path)] if way == "options" else []
    variables = {f"TICKSERVE_{name.upper()}": path for name, path in files.items()} if way == "variables" else {}
    arguments = ["health", "--target", secured.target, "--timeout", str(TIMEOUT), *options]
    asked = CliRunner().invoke(build_app(), arguments, env=variables)
    assert (asked.exit_code, "SERVING" in asked.output) == (0, True), asked.output


@pytest.mark.parametrize("command", ["predict", "stream", "backfill", "models", "stats", "health"])
def test_every_command_that_connects_has_them(command: str) -> None:
    """None was forgotten, and none lost an option of its own for them."""
    shown = CliRunner().invoke(build_app(), [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for option in ("--tls", "--ca", "--cert", "--key", "--target", "--json"):
        assert option in shown

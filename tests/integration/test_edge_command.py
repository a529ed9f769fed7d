"""`tickserve edge`: the real command and HAProxy in front of a server that tells what reached it; no Ray."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from server.security.edge_identity import IDENTITY_HEADER, SECRET_HEADER, SECRET_VARIABLE
from tests.integration.conftest import free_port
from tests.support.certificates import Authority, Pair
from tests.support.edge_service import TIMEOUT, Echo, call, echo_server, headers

SECRET = "edge-and-service-know-it"
WAIT = 60.0


class Command:
    """The command while it runs."""

    def __init__(self, folder: Path, upstream: str, *options: str, **environment: str) -> None:
        self.authority = Authority(folder / "authority")
        self.port, self.http_port = free_port(), free_port()
        pair = self.authority.server()
        arguments = [f"--upstream-grpc={upstream}", "--upstream-http=127.0.0.1:1", f"--tls-cert={pair.cert}"]
        arguments += [f"--tls-key={pair.key}", f"--client-ca={self.authority.cert}", *options]
        names = {SECRET_VARIABLE: SECRET, "TICKSERVE_TLS__GRPC_PORT": str(self.port)}
        names |= {"TICKSERVE_TLS__HTTP_PORT": str(self.http_port), "TICKSERVE_TLS__CLIENT_CERTIFICATES": "optional"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TICKSERVE_")}
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tickserve")), "edge", *arguments],
            env=inherited | names | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def says(self, word: str) -> str:
        """Returns the next line with a word in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if word in line:
                return line.strip()
        raise AssertionError(f"it ended with {self.process.wait(WAIT)}")

    def channel(self, client: Pair | None = None) -> grpc.Channel:
        """Returns a channel of its own connection."""
        mine = (None, None) if client is None else (client.key_pem, client.cert_pem)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
        credentials = grpc.ssl_channel_credentials(self.authority.cert_pem, *mine)
        return grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options)


@contextmanager
def running(folder: Path, upstream: str, *options: str) -> Iterator[Command]:
    """Runs the command, and ends what is left of it."""
    command = Command(folder, upstream, *options)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
        command.process.wait(WAIT)
        assert command.process.stdout is not None
        command.process.stdout.close()


def test_it_stands_in_front_of_a_service_elsewhere_and_drains(tmp_path: Path) -> None:
    """Calls reach the service with the secret and the caller's name; at SIGTERM an open stream is let end first."""
    with echo_server() as upstream, running(tmp_path, upstream, f"--drain={WAIT}") as command:
        ready = f"tickserve ready grpc=127.0.0.1:{command.port} http=127.0.0.1:{command.http_port} tls=on"
        assert command.says("ready") == ready
        with command.channel(command.authority.client("desk-1")) as channel:
            told = dict(headers(channel, (IDENTITY_HEADER, "somebody-else")))
            assert told[SECRET_HEADER] == SECRET
            assert told[IDENTITY_HEADER] == "desk-1"
            stream = Echo(channel)
            assert stream.says(b"before")
            command.process.send_signal(signal.SIGTERM)
            assert stream.says(b"while it drains")
            stream.close()
        assert command.process.wait(WAIT) == 0


def test_a_second_signal_cuts_the_drain_short(tmp_path: Path) -> None:
    """Who does not want to wait for open streams says so twice."""
    with echo_server() as upstream, running(tmp_path, upstream, f"--drain={10 * WAIT}") as command:
        command.says("ready")
        with command.channel() as channel:
            stream = Echo(channel)
            assert stream.says(b"before")
            command.process.send_signal(signal.SIGTERM)
            # Signals of a kind are one while nobody has looked at the first.
            command.says("no more connections")
            assert stream.says(b"after the first")
            command.process.send_signal(signal.SIGTERM)
            assert command.process.wait(WAIT) == 0
            with pytest.raises(grpc.RpcError):
                stream.says(b"after the second")


def test_a_name_that_nobody_knows_yet_stops_no_start(tmp_path: Path) -> None:
    """On Kubernetes the edge may be there before the service: it listens, and callers may try again."""
    with running(tmp_path, "nowhere.invalid:9000") as command:
        command.says("ready")
        with command.channel() as channel, pytest.raises(grpc.RpcError) as refused:
            call(channel)(b"", timeout=TIMEOUT, wait_for_ready=True)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_name_leads_to_the_service(tmp_path: Path) -> None:
    """A host may be a name, found as the system finds names."""
    with echo_server() as upstream, running(tmp_path, f"localhost:{upstream.rpartition(':')[2]}") as command:
        command.says("ready")
        with command.channel() as channel:
            assert dict(headers(channel))[SECRET_HEADER] == SECRET


@pytest.mark.parametrize(
    ("upstream", "environment", "remedy"),
    [
        ("127.0.0.1:9", {SECRET_VARIABLE: ""}, SECRET_VARIABLE),
        ("127.0.0.1:9", {SECRET_VARIABLE: "short"}, "16 characters"),
        ("127.0.0.1", {}, "HOST:PORT"),
        ("a b:9", {}, "HOST:PORT"),
    ],
)
def test_what_it_cannot_use_is_named(tmp_path: Path, upstream: str, environment: dict[str, str], remedy: str) -> None:
    """Wrong usage ends it at once with exit code 2, and says what to do."""
    command = Command(tmp_path, upstream, **environment)
    said, _ = command.process.communicate(timeout=WAIT)
    assert command.process.returncode == 2
    assert remedy in said

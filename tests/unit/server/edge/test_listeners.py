"""The table of the ports is the documentation's, and the firewall shuts what it says must be shut."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.commands.firewall import app
from server.config.settings import Settings
from server.config.tls_settings import TlsSettings
from server.edge.firewall import removal, rules
from server.edge.listeners import ALL, Listener, is_loopback, listeners, markdown, owner_of
from tests.support.certificates import Authority

DOCUMENT = Path(__file__).parents[4] / "docs/security.md"
EDGE = Settings(host="0.0.0.0", tls=TlsSettings(cert=Path("c.pem"), key=Path("k.pem"), client_ca=Path("a.pem")))
SYSTEM_PORTS = (32_768, 60_999)


def test_the_documentation_has_the_table() -> None:
    """Behind an edge on all interfaces, with Ray Serve's default ports."""
    assert markdown(listeners(EDGE, {})) in DOCUMENT.read_text(), "put `markdown(listeners(...))` into docs/security.md"


def test_only_the_edge_is_public() -> None:
    """What else is not on loopback is what the firewall is for."""
    for row in listeners(EDGE, {}):
        assert row.opener == "edge" or row.is_loopback or row.needs_firewall, row


def test_ray_serves_variables_move_its_ports() -> None:
    """The table follows them, so the firewall does."""
    moved = {row.name: row.first for row in listeners(EDGE, {"RAY_SERVE_HAPROXY_STATS_PORT": "18404"})}
    assert moved["HAProxy's statistics"] == 18_404


def test_no_metrics_port_no_row() -> None:
    """A port of 0 is none."""
    settings = EDGE.model_copy(update={"metrics": EDGE.metrics.model_copy(update={"port": 0})})
    assert "a node's metrics" not in {row.name for row in listeners(settings, {})}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost"])
def test_loopback_is_known_in_every_form(address: str) -> None:
    """As addresses are written, and as the kernel writes them."""
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "198.18.0.1", "::ffff:198.18.0.1", ALL, "example.test"])
def test_everything_else_is_not_loopback(address: str) -> None:
    """What is not known to be loopback is not taken for it."""
    assert not is_loopback(address)


def test_every_socket_has_its_row() -> None:
    """The narrowest that fits; a socket that is wider open than its row has none."""
    rows = listeners(EDGE, {})

    def name(opener: str, port: int, address: str) -> str | None:
        row = owner_of(rows, opener=opener, port=port, address=address)  # type: ignore[arg-type]
        return row.name if row is not None else None

    assert name("edge", 9443, ALL) == "gRPC over TLS"
    assert name("haproxy", 9000, "127.0.0.1") == "gRPC"
    assert name("haproxy", 9000, ALL) is None
    assert name("replica", 40_001, ALL) == "a replica's gRPC"
    assert name("replica", 55_555, ALL) == "calls between replicas"
    assert name("replica", 55_555, "::ffff:127.0.0.1") == "Ray's own"
    assert name("ray", 55_555, "127.0.0.1") == "Ray's own"
    assert name("ray", 55_555, ALL) is None
    assert name("fallback", 8500, ALL) is None


def guarded(text: str) -> set[tuple[int, int]]:
    """Returns the spans of ports in the rules' set."""
    found = re.search(r"elements = \{ (.*) \}", text)
    assert found is not None
    spans = [span.partition("-") for span in found[1].split(", ")]
    return {(int(first), int(last or first)) for first, _, last in spans}


@pytest.mark.parametrize("environment", [{}, {"RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": "40010"}])
def test_the_firewall_shuts_what_is_open_to_all(environment: dict[str, str]) -> None:
    """And nothing that is open on purpose."""
    rows = listeners(EDGE, environment)
    shut = guarded(rules(rows, system_ports=SYSTEM_PORTS))
    assert shut == {(row.first, row.last) if row.first else SYSTEM_PORTS for row in rows if row.needs_firewall}


def test_public_ports_and_the_clusters_machines_come_first() -> None:
    """The edge's ports may lie among the guarded ones; a cluster's machines need each other."""
    text = rules(
        listeners(EDGE, {}),
        system_ports=SYSTEM_PORTS,
        allowed_ports=[50_000],
        peers=[ip_network("198.18.0.0/15"), ip_network("2001:db8::/32")],
    )
    last = text.index("reject")
    for accepted in ('iifname "lo"', "8443, 9443, 50000", "ip saddr { 198.18.0.0/15 }", "ip6 saddr { 2001:db8::/32 }"):
        assert 0 < text.index(accepted) < last


def test_rules_replace_those_of_before() -> None:
    """Applied twice they are the same, and taking away needs nothing to be there."""
    row = Listener(name="x", opener="ray", first=1, last=1, address=ALL, guard="")
    assert rules([row], system_ports=SYSTEM_PORTS).startswith(removal())


def test_the_command_prints_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the settings in force."""
    pair = Authority(tmp_path).server()
    monkeypatch.setenv("TICKSERVE_TLS__CERT", str(pair.cert))
    monkeypatch.setenv("TICKSERVE_TLS__KEY", str(pair.key))
    printed = CliRunner().invoke(app, ["print", "--allow", "50000"])
    assert printed.exit_code == 0
    assert "tcp dport { 8443, 9443, 50000 } accept" in printed.stdout


@pytest.mark.parametrize("arguments", [["--peer", "nobody"], ["--allow", "0"]])
def test_a_wrong_option_is_refused(arguments: list[str]) -> None:
    """Before anything is said to the firewall."""
    assert CliRunner().invoke(app, ["print", *arguments]).exit_code == 2


def test_only_root_may_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are told what root would do."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    refused = CliRunner().invoke(app, ["apply"])
    assert refused.exit_code == 1
    assert "root" in refused.stderr

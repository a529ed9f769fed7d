"""Every port that the service listens on: who opens it, at which address, and what guards it.

Owns the table that `docs/security.md` shows, that the firewall's rules follow, and that a test compares with what a
running service really listens on. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from server.config.settings import Settings

Opener = Literal["edge", "haproxy", "replica", "fallback", "ray"]

_FIREWALL = "`tickserve firewall`, NetworkPolicy"
_TOKEN = "Ray's token"
_LOOPBACK = "127.0.0.1"
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A port, or a range of which ports are taken.

    Attributes:
        name: What it is for.
        opener: Which process opens it.
        first: Lowest port; 0 where the system chooses.
        last: Highest port.
        address: Where it is bound: an address, or `ALL`.
        guard: What keeps strangers out, beside the address.
    """

    name: str
    opener: Opener
    first: int
    last: int
    address: str
    guard: str

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.address)

    @property
    def needs_firewall(self) -> bool:
        """Whether it is open to everybody, though nobody beyond this machine, or its cluster, has business there."""
        return self.address == ALL

    def covers(self, port: int) -> bool:
        """Tells whether a port may be this one."""
        return self.first <= port <= self.last if self.first else True


def is_loopback(address: str) -> bool:
    """Tells whether only this machine reaches a listener at an address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address == "localhost"
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def listeners(settings: Settings, environment: Mapping[str, str]) -> tuple[Listener, ...]:
    """Returns the ports of a service that runs under these settings.

    Args:
        settings: The settings.
        environment: The process's environment: Ray Serve's own ports can be moved by its variables.
    """

    def ray_port(name: str, default: int) -> int:
        return int(environment.get(f"RAY_SERVE_{name}", "") or default)

    def one(name: str, opener: Opener, port: int, address: str, guard: str) -> Listener:
        return Listener(name=name, opener=opener, first=port, last=port, address=address, guard=guard)

    inner, tls = settings.inner_host(), settings.tls
    behind = "API keys, the edge's secret" if tls.enabled else "API keys"
    rows = []
    if tls.enabled:
        guard = "TLS 1.3, client certificates with `client_ca`, API keys"
        rows += [
            one("gRPC over TLS", "edge", tls.grpc_port, settings.host, guard),
            one("HTTP over TLS", "edge", tls.http_port, settings.host, guard),
        ]
    rows += [
        one("gRPC", "haproxy", settings.grpc_port, inner, behind),
        one("HTTP", "haproxy", settings.http_port, inner, behind),
        one("HAProxy's statistics", "haproxy", ray_port("HAPROXY_STATS_PORT", 8404), ALL, _FIREWALL),
        one("HAProxy's metrics", "haproxy", ray_port("HAPROXY_METRICS_PORT", 9101), ALL, _FIREWALL),
        Listener(
            name="a replica's gRPC",
            opener="replica",
            first=ray_port("DIRECT_INGRESS_MIN_GRPC_PORT", 40_000),
            last=ray_port("DIRECT_INGRESS_MAX_GRPC_PORT", 41_000),
            address=ALL,
            guard=f"{behind}; {_FIREWALL}",
        ),
        Listener(
            name="a replica's HTTP",
            opener="replica",
            first=ray_port("DIRECT_INGRESS_MIN_HTTP_PORT", 30_000),
            last=ray_port("DIRECT_INGRESS_MAX_HTTP_PORT", 31_000),
            address=inner,
            guard=behind,
        ),
    ]
    if settings.metrics.enabled and settings.metrics.port:
        rows.append(one("a node's metrics", "replica", settings.metrics.port, settings.metrics.host, "its address"))
    rows += [
        one("calls between replicas", "replica", 0, ALL, f"{_TOKEN}; {_FIREWALL}"),
        one(
            "fallback gRPC",
            "fallback",
            ray_port("FALLBACK_PROXY_GRPC_PORT", 9500),
            ALL,
            f"runs nothing for who comes this way (MODEL_LOADING); {_FIREWALL}",
        ),
        one("fallback HTTP", "fallback", ray_port("FALLBACK_PROXY_HTTP_PORT", 8500), inner, behind),
        one("Ray's own", "ray", 0, _LOOPBACK, _TOKEN),
    ]
    return tuple(rows)


def owner_of(rows: Iterable[Listener], *, opener: Opener, port: int, address: str) -> Listener | None:
    """Returns the row that a listening socket belongs to; the closest one wins. None: it is in no row.

    Args:
        rows: The table.
        opener: Who listens.
        port: Where.
        address: The address that it is bound to; `ALL` for every one.
    """
    # Every process of Ray's has a port for Ray's own calls.
    fits = [row for row in rows if row.covers(port) and (row.opener == opener or row.opener == "ray")]
    fits = [row for row in fits if _no_wider(address, row)]

    def distance(row: Listener) -> tuple[bool, bool, bool, int]:
        return (row.first == 0, row.address == ALL != address, row.opener != opener, row.last - row.first)

    return min(fits, key=distance, default=None)


def _no_wider(address: str, row: Listener) -> bool:
    if row.address in (ALL, "0.0.0.0", "::"):
        return True
    return address == row.address or (row.is_loopback and is_loopback(address))


def markdown(rows: Iterable[Listener]) -> str:
    """Returns the table for the documentation."""
    lines = ["| listener | opened by | port | address | guard |", "|---|---|---|---|---|"]
    for row in rows:
        port = "the system's choice" if not row.first else str(row.first)
        span = f"{port}-{row.last}" if row.last != row.first else port
        address = "all interfaces" if row.address == ALL else f"`{row.address}`"
        lines.append(f"| {row.name} | {_OPENERS[row.opener]} | {span} | {address} | {row.guard} |")
    return "".join(f"{line}\n" for line in lines)


_OPENERS: Mapping[Opener, str] = {
    "edge": "the TLS edge",
    "haproxy": "Ray Serve's HAProxy",
    "replica": "each replica",
    "fallback": "Ray Serve's Python proxy",
    "ray": "Ray: head, agents, workers",
}

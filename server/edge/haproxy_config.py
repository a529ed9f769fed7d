"""The configuration of the edge's HAProxy: text from values, and nothing else.

Owns every directive and why it is there. Knows no settings, starts nothing, reads no file. Source of the directives:
the HAProxy 2.8 configuration manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.security.edge_identity import (
    ADDRESS_HEADER,
    IDENTITY_HEADER,
    IDENTITY_PATTERN,
    SECRET_HEADER,
    SECRET_VARIABLE,
    STRIPPED_PREFIXES,
)

CERTIFICATE_FILE = "server.pem"
CLIENT_CA_FILE = "client-ca.pem"
IDENTITIES_FILE = "identities.map"
SOCKET_FILE = "admin.sock"

# Those of TLS 1.3 that HAProxy's OpenSSL has; named, so that no system-wide policy weakens them.
_CIPHERSUITES = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
_CONNECT_TIMEOUT = 5
_RESOLVERS = (
    "resolvers system",
    "    parse-resolv-conf",
    # An address that has changed is followed within seconds. A name server that is away, or does not know what the
    # system found elsewhere at the start (/etc/hosts), changes nothing: HAProxy counts to 24 days.
    "    hold valid 5s",
    *(f"    hold {answer} 24d" for answer in ("nx", "timeout", "refused", "other")),
)


@dataclass(frozen=True, kw_only=True)
class EdgePlan:
    """What the edge does.

    Attributes:
        folder: Where its files lie: `CERTIFICATE_FILE`, `CLIENT_CA_FILE`, `IDENTITIES_FILE` and the socket.
        host: Public address.
        grpc_port: Public port of the gRPC services.
        http_port: Public port of the HTTP side.
        inner_grpc: `host:port` behind it, HTTP/2 without TLS.
        inner_http: `host:port` behind it, HTTP/1.1.
        looks_up: Whether these hosts are names, which are looked up again and again while it runs.
        client_certificates: `none`, `optional` or `required`.
        maps_identities: Whether common names are looked up in `IDENTITIES_FILE`; else they are the identities.
        max_connections: Most connections of all clients.
        max_connections_per_address: Most of one address; 0 for no such limit.
        max_streams_per_connection: Most concurrent streams of one connection.
        idle_timeout: Seconds of silence both ways after which a stream or a connection ends.
        request_timeout: Seconds in which a request's headers must be complete.
        threads: Threads of the process.
    """

    folder: Path
    host: str
    grpc_port: int
    http_port: int
    inner_grpc: str
    inner_http: str
    looks_up: bool = False
    client_certificates: str = "none"
    maps_identities: bool = False
    max_connections: int = 10_000
    max_connections_per_address: int = 0
    max_streams_per_connection: int = 4096
    idle_timeout: float = 300.0
    request_timeout: float = 10.0
    threads: int = 2


def render(plan: EdgePlan) -> str:
    """Returns the configuration file. It holds no secret: that one HAProxy reads from its environment.

    Raises:
        ValueError: A value has a character that could end its word.
    """
    return "\n".join(
        [
            *_global(plan),
            *(_RESOLVERS if plan.looks_up else ()),
            *_defaults(plan),
            *_frontend(plan, name="grpc", port=plan.grpc_port, alpn="h2"),
            *_frontend(plan, name="http", port=plan.http_port, alpn="h2,http/1.1"),
            "backend grpc",
            # Whatever ends here reaches gRPC clients as UNAVAILABLE: 502, 503 and 504 are mapped so by all of them.
            f"    server inner {quoted(plan.inner_grpc)} proto h2{_lookup(plan)}",
            "backend http",
            f"    server inner {quoted(plan.inner_http)}{_lookup(plan)}",
            "",
        ]
    )


def identity_map(identities: Mapping[str, str]) -> str:
    """Returns the file that HAProxy looks common names up in: a name and a key id a line."""
    return "".join(f"{name} {identity}\n" for name, identity in sorted(identities.items()))


def quoted(word: object) -> str:
    """Returns a value as one word of the configuration, in which nothing is expanded.

    Raises:
        ValueError: It has a quote or a control character, which no address or path of ours needs.
    """
    text = str(word)
    if not text or "'" in text or not text.isprintable():
        raise ValueError(f"{text!r} cannot stand in the edge's configuration")
    return f"'{text}'"


def _global(plan: EdgePlan) -> list[str]:
    return [
        "global",
        f"    maxconn {plan.max_connections}",
        f"    nbthread {plan.threads}",
        # Certificates are changed through it, in the running process: no reload, so no stream ends for one.
        f"    stats socket {quoted(plan.folder / SOCKET_FILE)} mode 600 level admin",
        "    ssl-default-bind-options ssl-min-ver TLSv1.3",
        f"    ssl-default-bind-ciphersuites {_CIPHERSUITES}",
        # HAProxy allows 100 by default; the 101st stream would hang without a word.
        f"    tune.h2.fe.max-concurrent-streams {plan.max_streams_per_connection}",
        # Inward each call has a connection to itself while it lasts: on a shared one, streams whose clients never read
        # fill the connection's window, and calls of others wait for ever.
        "    tune.h2.be.max-concurrent-streams 1",
    ]


def _defaults(plan: EdgePlan) -> list[str]:
    return [
        "defaults",
        "    mode http",
        f"    timeout connect {_CONNECT_TIMEOUT}s",
        # Bytes of either side keep a stream alive, so the heartbeats of a tick stream do. This ends a handshake that
        # does not go on, too: HAProxy 2.8 has no limit of its own for it.
        f"    timeout client {_milliseconds(plan.idle_timeout)}",
        f"    timeout server {_milliseconds(plan.idle_timeout)}",
        f"    timeout tunnel {_milliseconds(plan.idle_timeout)}",
        f"    timeout http-keep-alive {_milliseconds(plan.idle_timeout)}",
        # Slow headers hold a connection no longer than this.
        f"    timeout http-request {_milliseconds(plan.request_timeout)}",
        # A message is passed on as it comes: streams live from single small ones.
        "    option http-no-delay",
        "    option abortonclose",
        "    http-reuse always",
    ]


def _frontend(plan: EdgePlan, *, name: str, port: int, alpn: str) -> list[str]:
    bind = f"    bind {quoted(f'{plan.host}:{port}')} ssl crt {quoted(plan.folder / CERTIFICATE_FILE)} alpn {alpn}"
    if plan.client_certificates != "none":
        bind += f" ca-file {quoted(plan.folder / CLIENT_CA_FILE)} verify {plan.client_certificates}"
    lines = [f"frontend {name}", bind]
    if plan.max_connections_per_address:
        lines += [
            "    stick-table type ipv6 size 100k expire 10m store conn_cur",
            "    tcp-request connection track-sc0 src",
            f"    tcp-request connection reject if {{ sc0_conn_cur gt {plan.max_connections_per_address} }}",
        ]
    # First take away, then set: nobody but the edge says these things.
    lines += [f"    http-request del-header {prefix} -m beg" for prefix in STRIPPED_PREFIXES]
    lines += [
        f'    http-request set-header {SECRET_HEADER} "${{{SECRET_VARIABLE}}}"',
        f"    http-request set-header {ADDRESS_HEADER} %[src]",
    ]
    if plan.client_certificates != "none":
        lines.append(_identity(plan))
    return [*lines, f"    default_backend {name}"]


def _identity(plan: EdgePlan) -> str:
    """Returns the rule that names the caller by its verified certificate; a name of another form names nobody."""
    found = name = "ssl_c_s_dn(cn)"
    known = ""
    if plan.maps_identities:
        found = f"{name},map_str({plan.folder / IDENTITIES_FILE})"
        known = f" {{ {found} -m found }}"
    # `ssl_c_used`, unlike `ssl_fc_has_crt`, is true in a resumed session, too.
    return (
        f"    http-request set-header {IDENTITY_HEADER} %[{found}] "
        f"if {{ ssl_c_used }} {{ ssl_c_verify 0 }} {{ {name} -m reg '{IDENTITY_PATTERN}' }}{known}"
    )


def _lookup(plan: EdgePlan) -> str:
    """Returns what a server's line needs where its host is a name; one that nobody knows yet stops no start."""
    return " resolvers system resolve-prefer ipv4 init-addr last,libc,none" if plan.looks_up else ""


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"

"""Makes the edge that the settings ask for. Owns what of the settings the edge obeys."""

from __future__ import annotations

import logging
import resource
import secrets
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from server.config.settings import Settings
from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan

logger = logging.getLogger("tickserve")

_MARGIN = 10.0
# Listeners, the log, the socket, epoll: what HAProxy opens beside two descriptors a connection.
_OTHER_DESCRIPTORS = 256


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """What an edge of its own stands in front of.

    Attributes:
        grpc: `host:port` of the gRPC services, not encrypted.
        http: `host:port` of the HTTP side.
    """

    grpc: str
    http: str

    @property
    def has_names(self) -> bool:
        """Whether a host is a name, and not an address."""
        return not (_is_address(self.grpc) and _is_address(self.http))


def new_secret() -> str:
    """Returns a secret for one start: 256 random bits, URL-safe, so that it can stand in a header."""
    return secrets.token_urlsafe(32)


def edge_plan(settings: Settings, folder: Path = Path(), upstream: Upstream | None = None) -> EdgePlan:
    """Returns what the edge does under these settings.

    Args:
        settings: The settings.
        folder: Where its files lie.
        upstream: What is behind it; None for the service that runs beside it.
    """
    tls = settings.tls
    inner = settings.inner_host()
    behind = upstream or Upstream(grpc=f"{inner}:{settings.grpc_port}", http=f"{inner}:{settings.http_port}")
    return EdgePlan(
        folder=folder,
        host=settings.host,
        grpc_port=tls.grpc_port,
        http_port=tls.http_port,
        inner_grpc=behind.grpc,
        inner_http=behind.http,
        looks_up=behind.has_names,
        client_certificates="none" if tls.client_ca is None else tls.client_certificates,
        maps_identities=bool(tls.client_identities),
        max_connections=tls.max_connections,
        max_connections_per_address=tls.max_connections_per_address,
        max_streams_per_connection=settings.max_streams_per_connection,
        # Silence is what a long computation looks like from here.
        idle_timeout=max(tls.idle_timeout, settings.max_timeout + _MARGIN),
        request_timeout=tls.request_timeout,
        threads=tls.threads,
    )


def affordable_connections(descriptors: int) -> int:
    """Returns how many connections the edge can hold: each has a descriptor outward and one inward.

    Args:
        descriptors: The hard limit of the process; `resource.RLIM_INFINITY` for none.
    """
    if descriptors == resource.RLIM_INFINITY:
        return 2**31 - 1
    return max(1, (descriptors - _OTHER_DESCRIPTORS) // 2)


def edge_for(settings: Settings, secret: str, upstream: Upstream | None = None) -> Edge | None:
    """Returns the edge that the settings ask for, not started yet; None where they ask for none.

    Args:
        settings: The settings.
        secret: What it shows to whom it stands in front of.
        upstream: Those; None for the service that runs beside it.
    """
    tls = settings.tls
    if tls.cert is None or tls.key is None:
        return None
    plan = edge_plan(settings, upstream=upstream)
    # HAProxy does not start when the limit of descriptors is below what it would need.
    most = affordable_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    if most < plan.max_connections:
        logger.warning(
            "tls.max_connections is %d, but descriptors last for %d (ulimit -Hn)", plan.max_connections, most
        )
        plan = replace(plan, max_connections=most)
    return Edge(
        plan,
        CertificateFiles(cert=tls.cert, key=tls.key, client_ca=tls.client_ca),
        identities=tls.client_identities,
        secret=secret,
        reload_interval=tls.reload_interval,
    )


def _is_address(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

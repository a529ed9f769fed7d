"""Makes the edge that the settings ask for. Owns what of the settings the edge obeys."""

from __future__ import annotations

import logging
import resource
import secrets
from dataclasses import replace
from pathlib import Path

from server.config.settings import Settings
from server.edge.certificate_files import CertificateFiles
from server.edge.edge import Edge
from server.edge.haproxy_config import EdgePlan

logger = logging.getLogger("tickserve")

_MARGIN = 10.0
# Listeners, the log, the socket, epoll: what HAProxy opens beside two descriptors a connection.
_OTHER_DESCRIPTORS = 256


def new_secret() -> str:
    """Returns a secret for one start: 256 random bits, URL-safe, so that it can stand in a header."""
    return secrets.token_urlsafe(32)


def edge_plan(settings: Settings, folder: Path = Path()) -> EdgePlan:
    """Returns what the edge does under these settings."""
    tls = settings.tls
    return EdgePlan(
        folder=folder,
        host=settings.host,
        grpc_port=tls.grpc_port,
        http_port=tls.http_port,
        inner_grpc=f"{settings.inner_host()}:{settings.grpc_port}",
        inner_http=f"{settings.inner_host()}:{settings.http_port}",
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


def edge_for(settings: Settings, secret: str) -> Edge | None:
    """Returns the edge that the settings ask for, not started yet; None where they ask for none."""
    tls = settings.tls
    if tls.cert is None or tls.key is None:
        return None
    plan = edge_plan(settings)
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

"""`tickserve edge`: runs the TLS edge by itself, in front of a service on other machines."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from server.announcement import Announcer
from server.commands.console import fail
from server.config.settings import Settings, SettingsError, load_settings
from server.edge.haproxy_process import EdgeError
from server.edge.settings_edge import Upstream, edge_for
from server.edge_alone import run_until_signalled
from server.free_port import require_free
from server.launch_error import LaunchError
from server.security.edge_identity import EdgeSecretError, edge_secret
from server.telemetry.logging_setup import log_to_stream

_USAGE = 2
_TARGET = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


def edge(
    upstream_grpc: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The gRPC port behind it; a name is looked up again and again.")
    ],
    upstream_http: Annotated[str, typer.Option(metavar="HOST:PORT", help="The HTTP port behind it.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate and chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, PEM.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="Authorities, PEM, one of which must have signed a client's certificate.")
    ] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that open connections have at the end.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Say ready as JSON, one object a line.")] = False,
) -> None:
    """Run the TLS edge until SIGINT or SIGTERM, for a service that runs without one: on a cluster, on Kubernetes.

    Options win over TICKSERVE_* variables, and these over the file that TICKSERVE_CONFIG names: of it the group tls,
    host, max_timeout and max_streams_per_connection count. TICKSERVE_EDGE_SECRET must be the same here and in the
    environment of the service, by which that knows what came through the edge. SIGHUP: read the certificates again.

    Example: tickserve edge --upstream-grpc 10.0.0.7:9000 --upstream-http 10.0.0.7:8000 --tls-cert a.pem --tls-key a.key

    Exit codes: 0 stopped by a signal; 1 it could not start; 2 wrong usage, or settings that cannot be used.
    """
    for option, target in (("--upstream-grpc", upstream_grpc), ("--upstream-http", upstream_http)):
        if not _TARGET.fullmatch(target):
            fail(f"{option} {target!r} is not HOST:PORT", code=_USAGE)
    files = {"cert": tls_cert, "key": tls_key, "client_ca": client_ca}
    settings = _settings(host=host, tls={name: file for name, file in files.items() if file is not None} or None)
    logs = log_to_stream(settings.log)
    try:
        for port in (settings.tls.grpc_port, settings.tls.http_port):
            require_free(settings.host, port)
        secret = edge_secret(os.environ, required=True)
        made = edge_for(settings, secret, Upstream(grpc=upstream_grpc, http=upstream_http))
        assert made is not None  # the settings have a certificate
        run_until_signalled(made, settings, announcer=Announcer(as_json=as_json), drain=drain)
    except EdgeSecretError:
        fail(
            "TICKSERVE_EDGE_SECRET is not set, or has fewer than 16 characters: set the same one here and in the "
            "service's environment",
            code=_USAGE,
        )
    except (EdgeError, LaunchError) as error:
        fail(str(error))
    finally:
        logs.close()


def _settings(**given: object) -> Settings:
    try:
        # Whether callers show keys is asked behind the edge, so nothing here says that they do.
        settings = load_settings(**given, security={"allow_insecure_public_bind": True})
    except SettingsError as error:
        fail(str(error), code=_USAGE)
    if not settings.tls.enabled:
        fail("there is no certificate; set tls.cert and tls.key, or --tls-cert and --tls-key", code=_USAGE)
    return settings

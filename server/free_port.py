"""Whether a port can be listened on. Owns the one look at it, before anything is started."""

from __future__ import annotations

import socket

from server.launch_error import LaunchError


def require_free(host: str, port: int) -> None:
    """Refuses a port that somebody listens on: HAProxy would share or fail it without naming it.

    Raises:
        LaunchError: The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LaunchError(
                f"{host}:{port} cannot be listened on ({error.strerror}): stop what uses it, or choose another with "
                "--grpc-port or --http-port (TICKSERVE_GRPC_PORT, TICKSERVE_HTTP_PORT), or, with TLS, tls.grpc_port or "
                "tls.http_port (TICKSERVE_TLS__GRPC_PORT, TICKSERVE_TLS__HTTP_PORT)."
            ) from None

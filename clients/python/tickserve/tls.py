"""What a client trusts and how it proves who it is: files in, gRPC's credentials out."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypedDict

import grpc

__all__ = ("Pem", "TlsOptions", "channel_credentials")

Pem: TypeAlias = str | PathLike[str] | bytes | None
"""A PEM file's path, or its content."""


class TlsOptions(TypedDict, total=False):
    """How a client connects over TLS; without any of them it does not.

    Files are read when the client is made; in an event loop give their contents where reading takes long. Options that
    contradict each other raise ValueError then, a file that cannot be read OSError.

    Attributes:
        tls: Trust the authorities that gRPC brings along, or those that GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names.
        ca: The authorities to trust instead, a PEM file or its bytes.
        cert: The client's own certificate and chain, for services that ask for one; likewise.
        key: Its key; likewise.
    """

    tls: bool
    ca: Pem
    cert: Pem
    key: Pem


def channel_credentials(
    given: grpc.ChannelCredentials | None = None,
    *,
    tls: bool = False,
    ca: Pem = None,
    cert: Pem = None,
    key: Pem = None,
) -> grpc.ChannelCredentials | None:
    """Gives the credentials to connect with; None: plain text.

    Args:
        given: Credentials made by the caller, who then gives nothing else.
        tls: See `TlsOptions`.
        ca: See `TlsOptions`.
        cert: See `TlsOptions`.
        key: See `TlsOptions`.

    Raises:
        ValueError: A certificate comes without its key, or a key without its certificate; or credentials come as well.
        OSError: A file cannot be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key belong together; give both, or neither")
    if not tls and ca is None and cert is None:
        return given
    if given is not None:
        raise ValueError("credentials hold all that tls, ca, cert and key would say; give one or the other")
    return grpc.ssl_channel_credentials(_read(ca), _read(key), _read(cert))


def _read(pem: Pem) -> bytes | None:
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()

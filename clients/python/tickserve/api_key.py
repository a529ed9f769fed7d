"""How a client shows its API key, and to whom it does not."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence

__all__ = ("API_KEY_VARIABLE", "metadata_with_key")

API_KEY_VARIABLE = "TICKSERVE_API_KEY"

_SCHEMES = ("dns:", "ipv4:", "ipv6:", "passthrough:")


def metadata_with_key(
    metadata: Sequence[tuple[str, str]], api_key: str | None, target: str, credentials: object | None
) -> Sequence[tuple[str, str]]:
    """Gives the metadata of a client's calls, its API key among them.

    Args:
        metadata: What the client sends otherwise. One with `authorization` or `x-api-key` is left as it is.
        api_key: The key; None: that of the variable TICKSERVE_API_KEY, if it is set; empty: none.
        target: Where it is sent.
        credentials: What it is encrypted with; None: plain text.

    Raises:
        ValueError: The key would cross a network as plain text, or cannot be sent. To send it all the same, where
            something else encrypts, put it into `metadata` yourself.
    """
    if any(name.lower() in ("authorization", "x-api-key") for name, _ in metadata):
        return metadata
    key = os.environ.get(API_KEY_VARIABLE, "") if api_key is None else api_key
    if not key:
        return metadata
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the API key has characters that none has; was it copied as a whole, and alone?")
    if credentials is None and not is_local(target):
        raise ValueError(
            f"the API key would cross the network to {target} as plain text; connect over TLS, or, where something "
            "else encrypts, send it as metadata=(('authorization', 'Bearer ...'),)"
        )
    return (*metadata, ("authorization", f"Bearer {key}"))


def is_local(target: str) -> bool:
    """Tells whether a gRPC target is on this machine, for certain."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    # Several addresses may stand behind one scheme: all of them count.
    return all(_is_loopback(address) for address in _address(target).split(","))


def _address(target: str) -> str:
    for scheme in _SCHEMES:
        if target.startswith(scheme):
            # `dns://authority/name` names a server to ask; what it answers is the name's.
            return target.removeprefix(scheme).rpartition("/")[2]
    return target


def _is_loopback(address: str) -> bool:
    address = address.replace("%5B", "[").replace("%5D", "]")
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

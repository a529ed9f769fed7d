"""What the TLS edge tells of a caller, and how the seam knows that it was the edge that told it.

Owns the headers' names and the decision. The edge strips these headers from what clients send, and sets them anew with
a secret of its own start: who reaches a replica's port beside the edge does not know it, so nothing that he says of
himself counts. Pure; knows nothing of gRPC, of HTTP or of keys.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from server.refusal import Reason, Refusal

SECRET_HEADER = "x-tickserve-edge-secret"
IDENTITY_HEADER = "x-tickserve-client-identity"
ADDRESS_HEADER = "x-tickserve-client-address"
STRIPPED_PREFIXES = ("x-tickserve-edge-", "x-tickserve-client-")
"""Begin every header that only the edge may set, those to come included."""

SECRET_VARIABLE = "TICKSERVE_EDGE_SECRET"
"""Names the environment variable that carries the secret: arguments and settings can be seen by others, it cannot."""

IDENTITY_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What an identity may look like: the edge passes no other common name on, and nothing else is believed."""

_IDENTITY = re.compile(IDENTITY_PATTERN.removesuffix("$") + r"\Z")
_LEAST_SECRET = 16

Metadata = Mapping[str, str | bytes]
"""Headers of a call by lower-case name."""


class EdgeSecretError(RuntimeError):
    """The process cannot tell the edge from anybody else. The message names the remedy."""


def edge_secret(environment: Mapping[str, str], *, required: bool) -> str:
    """Returns the secret of the edge in front of this process; empty where there is none.

    Args:
        environment: The process's environment.
        required: Whether the settings say that there is an edge.

    Raises:
        EdgeSecretError: There is an edge and no secret, or one that could be guessed.
    """
    secret = environment.get(SECRET_VARIABLE, "")
    if required and not secret:
        raise EdgeSecretError(
            f"tls.cert is set, but not {SECRET_VARIABLE}: calls that pass by the TLS edge would look like others. "
            "Start with `tickserve serve`, which runs the edge and sets it; where something else ends TLS, unset it."
        )
    if secret and len(secret) < _LEAST_SECRET:
        raise EdgeSecretError(f"{SECRET_VARIABLE} has fewer than {_LEAST_SECRET} characters and could be guessed.")
    return secret


def came_through_edge(metadata: Metadata, secret: str) -> bool:
    """Tells whether a call carries the edge's secret; in constant time. Without a secret none does."""
    return bool(secret) and hmac.compare_digest(_bytes(metadata.get(SECRET_HEADER, "")), _bytes(secret))


def require_edge(metadata: Metadata, secret: str) -> None:
    """Lets a call pass that came through the edge, and any where there is no edge (an empty secret).

    Raises:
        Refusal: It came to a replica's port beside the edge.
    """
    if secret and not came_through_edge(metadata, secret):
        raise Refusal(
            Reason.EDGE_REQUIRED, "This port is the service's own; call the TLS edge, whose address the service prints."
        )


def identity_from(metadata: Metadata, secret: str) -> str | None:
    """Returns the key id that the caller's verified client certificate stands for.

    Args:
        metadata: The call's headers.
        secret: The edge's; empty where there is none, so that nobody is believed.

    Returns:
        The key id; None where the call did not come through the edge, or the caller showed no certificate.
    """
    if not came_through_edge(metadata, secret):
        return None
    identity = metadata.get(IDENTITY_HEADER, "")
    return identity if isinstance(identity, str) and _IDENTITY.match(identity) else None


def client_address(metadata: Metadata, secret: str) -> str | None:
    """Returns the address that the caller connected from, for logs; None for a call beside the edge."""
    address = metadata.get(ADDRESS_HEADER, "") if came_through_edge(metadata, secret) else ""
    return address if isinstance(address, str) and address else None


def _bytes(value: str | bytes) -> bytes:
    # Compared as bytes: `compare_digest` refuses text that is not ASCII, and a caller may send any.
    return value if isinstance(value, bytes) else value.encode(errors="surrogatepass")

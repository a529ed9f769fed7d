"""How HTTP says what gRPC's metadata says: a key in HTTP Basic credentials, a refusal as a status. Pure; no server.

A browser signs in by HTTP Basic, the key being the password: nothing is kept on the server, so any replica serves the
next request, and an event stream takes the credentials along by itself. As a browser also sends them where another site
has it ask, they open only what changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from http import HTTPStatus

from server.refusal import Reason
from server.security.authorizer import API_KEY, AUTHORIZATION

CHALLENGE = 'Basic realm="tickserve", charset="UTF-8"'
"""Value of `WWW-Authenticate`: has a browser ask for the password."""

READING = "GetStatistics"
"""The method of the contract whose right opens what is read over HTTP: console and metrics tell what it tells."""

_SAFE = frozenset({"GET", "HEAD"})
_STATUS = {Reason.METHOD_NOT_ALLOWED: HTTPStatus.FORBIDDEN, Reason.MODEL_LOADING: HTTPStatus.SERVICE_UNAVAILABLE}


def metadata_of(headers: Iterable[tuple[str, str]], *, method: str) -> dict[str, str | bytes]:
    """Returns a request's headers as the authorizer reads them, a key that came by HTTP Basic among them.

    Args:
        headers: Names in any case, and values.
        method: Of HTTP.
    """
    metadata: dict[str, str | bytes] = {name.lower(): value for name, value in headers}
    authorization = metadata.get(AUTHORIZATION)
    if method in _SAFE and isinstance(authorization, str):
        key = basic_password(authorization)
        if key is not None:
            metadata[API_KEY] = key
    return metadata


def basic_password(authorization: str) -> str | None:
    """Returns the password of HTTP Basic credentials; None where there are none, or they cannot be read."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text.partition(":")[2]


def status_of(reason: Reason) -> HTTPStatus:
    """Returns the status of a refusal at the door."""
    return _STATUS.get(reason, HTTPStatus.UNAUTHORIZED)


def challenge_of(reason: Reason) -> dict[str, str]:
    """Returns the headers of a refusal: whom no key would help is not asked for one."""
    if status_of(reason) is not HTTPStatus.UNAUTHORIZED or reason is Reason.EDGE_REQUIRED:
        return {}
    return {"WWW-Authenticate": CHALLENGE}

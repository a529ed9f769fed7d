"""The files of the console's page, and the policy that they come with: nothing from elsewhere, nothing inline.

They are read when this module is imported, for that happens outside of any event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

from fastapi import Request, Response

PAGE = "index.html"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # `frame-ancestors`: in nobody's frame, where clicks could be stolen.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for again each time: a replica of the next release has other parts.
    "Cache-Control": "no-cache",
}


class Part:
    """One file of the page, as it is answered.

    Args:
        name: Of the file.
        content: Of the file.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        self._type = _TYPES[name[name.rindex(".") :]]

    def answer(self, request: Request) -> Response:
        """Returns the file, or word that the browser's copy is still good."""
        headers = _HEADERS | {"ETag": self._tag}
        if request.headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=headers)
        return Response(self._content, media_type=self._type, headers=headers)


def _read_parts() -> Mapping[str, Part]:
    folder = resources.files("server.http").joinpath("static")
    return {
        file.name: Part(file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))
    }


PARTS = _read_parts()
"""By the name of the file."""

"""What `tickserve serve` says on standard output, for people and scripts: lines, or JSON, one object a line."""

from __future__ import annotations

import json

from server.config.settings import Settings


class Announcer:
    """Says what became of the service, at once.

    Args:
        as_json: Whether each line is a JSON object with the name `event`.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def ready(self, settings: Settings) -> None:
        """Says that the service answers, and where: at the edge's ports where there is one."""
        ports = settings.tls if settings.tls.enabled else settings
        grpc, http = f"{settings.host}:{ports.grpc_port}", f"{settings.host}:{ports.http_port}"
        line = f"tickserve ready grpc={grpc} http={http}{' tls=on' if settings.tls.enabled else ''}"
        self._say(line, event="ready", grpc=grpc, http=http, tls=settings.tls.enabled)

    def reconfigured(self) -> None:
        """Says that other settings are in force."""
        self._say("tickserve reconfigured", event="reconfigured")

    def not_reconfigured(self, error: Exception) -> None:
        """Says why the former settings stand."""
        self._say(f"tickserve not reconfigured: {error}", event="not_reconfigured", error=str(error))

    def _say(self, line: str, **event: object) -> None:
        print(json.dumps(event) if self._as_json else line, flush=True)  # noqa: T201 - what others wait for

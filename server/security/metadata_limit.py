"""How much metadata a call may carry: enough for keys and traces, too little to be a burden. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from server.config.limit_settings import LimitSettings
from server.refusal import Reason, Refusal

MAX_ROUTING_KEY = 256
"""Characters of `x-tickserve-routing-key`."""
_ROUTING_KEY = "x-tickserve-routing-key"
# What HTTP/2 counts for an entry beside its name and value (RFC 9113, section 6.5.2), and gRPC too.
_OVERHEAD = 32


class MetadataLimit:
    """Refuses calls with too much metadata.

    Attributes:
        settings: Returns those in force.
    """

    def __init__(self, settings: Callable[[], LimitSettings]) -> None:
        self.settings = settings

    def check(self, entries: Iterable[tuple[str, str | bytes]]) -> None:
        """Lets metadata pass that is within the limits.

        Args:
            entries: All of it, repeated names as often as they come.

        Raises:
            Refusal: LIMIT_EXCEEDED.
        """
        count = size = 0
        for name, value in entries:
            count += 1
            size += len(name) + len(value) + _OVERHEAD
            if name == _ROUTING_KEY and len(value) > MAX_ROUTING_KEY:
                raise _refusal(f"{name} is limited to {MAX_ROUTING_KEY} characters", len(value), MAX_ROUTING_KEY)
        settings = self.settings()
        most, most_bytes = settings.max_metadata_entries, settings.max_metadata_bytes
        if count > most:
            raise _refusal(f"A call's metadata is limited to {most} entries", count, most)
        if size > most_bytes:
            words = f"A call's metadata is limited to {most_bytes} bytes, 32 for each entry included"
            raise _refusal(words, size, most_bytes)


def _refusal(words: str, have: int, limit: int) -> Refusal:
    return Refusal(
        Reason.LIMIT_EXCEEDED,
        f"{words}; send less.",
        field="metadata",
        metadata={"have": str(have), "limit": str(limit)},
    )


_DEFAULTS = LimitSettings()
process_metadata_limit = MetadataLimit(lambda: _DEFAULTS)
"""Of this process, and shared by module for the reason that `process_authorizer` is. A replica assigns its settings."""

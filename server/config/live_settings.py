"""The settings in force in one replica, which may change while it serves.

Owns which settings may change without a restart, and the one place that everybody reads them from.
"""

from __future__ import annotations

from server.config.settings import Settings
from server.deadline import DeadlinePolicy

LIVE_FIELDS = frozenset(
    {
        "profile",
        "scheduler",
        "default_timeouts",
        "max_timeout",
        "reply_margin",
        "max_windows_per_request",
        "max_request_bytes",
        "max_in_flight_per_stream",
        "max_in_flight_bytes_per_stream",
        "max_symbols_per_stream",
        "max_symbols",
        "models",
        "heartbeat_interval",
        "cache",
        "tracing",
        "health",
        "limits",
        "log",
        "routes",
    }
)
"""Settings that reach running replicas; all others need new ones."""


class LiveSettings:
    """Holds the settings in force; what reads them reads them anew each time.

    Args:
        settings: At the start.
    """

    def __init__(self, settings: Settings) -> None:
        self.change(settings)

    def change(self, settings: Settings) -> None:
        """Puts other settings in force."""
        self.current = settings
        self.deadlines = DeadlinePolicy(
            default_timeouts=settings.default_timeouts.by_class(),
            max_timeout=settings.max_timeout,
            reply_margin=settings.reply_margin,
        )

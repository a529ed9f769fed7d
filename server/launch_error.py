"""Why the service was not started. Owns the one exception that the command line shows without a traceback."""

from __future__ import annotations


class LaunchError(RuntimeError):
    """The service could not be started; the message says why and what to do."""

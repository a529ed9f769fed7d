"""What an operator is told of an application that could not be deployed: the error behind Ray Serve's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def explained(message: str, deployments: Iterable[str]) -> str:
    """Returns Ray Serve's message with the error that ended a replica's start, where there was one.

    Args:
        message: What Ray Serve says of the application: that its deployments failed, and which.
        deployments: What it says of each of them; a replica's traceback is the end of that.
    """
    for told in deployments:
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        if len(lines) > 1:
            # The last line of a traceback is the error itself; its module is of no use to an operator.
            name, _, words = lines[-1].partition(": ")
            return f"{message} {name.rpartition('.')[2]}: {words}" if words else f"{message} {lines[-1]}"
    return message

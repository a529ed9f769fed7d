"""Waiting for what another process does, within a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], *, timeout: float = 60.0) -> T:
    """Returns the first truthy value of `look`.

    Raises:
        TimeoutError: There was none within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"waited {timeout:g} s in vain")

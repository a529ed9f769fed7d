"""The guard against blocking calls in an event loop is on, and judges our own code only."""

import time
from collections.abc import Callable

import pytest
from blockbuster import BlockingError

from scripts.layering import ROOT


def sleeper_in(path: str) -> Callable[[], None]:
    """Returns a function that sleeps, as if it were written in the file at `path`."""
    namespace: dict[str, Callable[[], None]] = {}
    exec(compile("def sleeper():\n    import time\n    time.sleep(0)", str(ROOT / path), "exec"), namespace)
    return namespace["sleeper"]


@pytest.mark.parametrize("path", ["batching/x.py", "model/x.py", "server/x.py", "clients/python/tickserve/x.py"])
async def test_a_blocking_call_of_ours_fails_in_a_loop(path: str) -> None:
    """Code of each package that sleeps inside a running loop fails its test."""
    with pytest.raises(BlockingError):
        sleeper_in(path)()


async def test_a_blocking_call_of_others_passes() -> None:
    """Pytest and the libraries do as they like."""
    sleeper_in(".venv/x.py")()
    time.sleep(0)  # noqa: ASYNC251  # the point: not judged here


def test_a_blocking_call_passes_outside_a_loop() -> None:
    """Without a running loop nothing is blocked."""
    sleeper_in("batching/x.py")()

"""What all kinds of tests share: save in integration tests, code of ours that blocks an event loop fails its test."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from blockbuster import blockbuster_ctx

from scripts.layering import PACKAGES, ROOT

# These run real servers, whose own threads and loops are not ours to judge.
REAL_SERVERS = ROOT / "tests/integration"


def folder_as_module(folder: Path) -> ModuleType:
    """Returns a stand-in by which blockbuster knows the files below `folder`, without importing them."""
    module = ModuleType(folder.name)
    module.__path__ = [f"{folder}/"]
    return module


# Once a module, not once a test: Hypothesis runs a test many times within one fixture, and refuses narrow scopes.
@pytest.fixture(autouse=True, scope="module")
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes a sleep, file, socket or lock that blocks a running event loop raise, if code of ours is on the stack."""
    if request.path.is_relative_to(REAL_SERVERS):
        yield
        return
    with blockbuster_ctx([folder_as_module(ROOT / folder) for folder in PACKAGES.values()]):
        yield

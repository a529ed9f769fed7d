"""What all kinds of tests share: save where real servers run, code of ours that blocks an event loop fails its test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from blockbuster import blockbuster_ctx

from scripts.layering import PACKAGES, ROOT

# These run real servers, whose own threads and loops are not ours to judge.
REAL_SERVERS = (ROOT / "tests/integration", ROOT / "tests/cluster")


def folder_as_module(folder: Path) -> ModuleType:
    """Returns a stand-in by which blockbuster knows the files below `folder`, without importing them."""
    module = ModuleType(folder.name)
    module.__path__ = [f"{folder}/"]
    return module


@pytest.fixture(autouse=True, scope="session")
def grpc_for_asyncio() -> None:
    """Keeps grpc.aio's poller alive: each time its last channel is gone, it drops a pair of sockets without closing."""

    async def start() -> None:
        grpc.aio.init_grpc_aio()

    # In a loop of its own: it needs a running one, and must not become, or unset, the current one of other tests.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.close()


# Once a module, not once a test: Hypothesis runs a test many times within one fixture, and refuses narrow scopes.
@pytest.fixture(autouse=True, scope="module")
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes a sleep, file, socket or lock that blocks a running event loop raise, if code of ours is on the stack."""
    if any(request.path.is_relative_to(folder) for folder in REAL_SERVERS):
        yield
        return
    # A load generator may read its own figures from /proc: nobody but itself waits for it.
    judged = [folder_as_module(ROOT / folder) for name, folder in PACKAGES.items() if name != "benchmarks"]
    with blockbuster_ctx(judged):
        yield

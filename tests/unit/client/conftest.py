"""What the client's tests share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.unit.client.fake_service import FakeService
from tickserve import AsyncClient, Client

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A stand-in for the service, on a socket."""
    with FakeService().serving() as serving:
        yield serving


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, service: FakeService) -> Ask:
    """Calls a method of a client by name; every law holds for both clients."""

    async def ask_async(method: str, /, *args: Any, client: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        async with AsyncClient(service.target, **(client or {})) as asynchronous:
            return await getattr(asynchronous, method)(*args, **kwargs)

    async def ask_sync(method: str, /, *args: Any, client: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        def call() -> Any:
            with Client(service.target, **(client or {})) as synchronous:
                return getattr(synchronous, method)(*args, **kwargs)

        return await asyncio.to_thread(call)

    return ask_sync if request.param == "sync" else ask_async

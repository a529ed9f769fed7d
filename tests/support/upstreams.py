"""HTTP services of a test's own, in its event loop: what they were sent, and what they say."""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

Answer = Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """One service.

    Attributes:
        name: That it answers with by default.
        port: Where it listens on loopback.
        answer: What it does with a request that is no health check; None: it says its name.
        is_well: Whether its health checks pass.
        asked: Paths of the requests, health checks left out.
        bodies: What they held.
        headers: What they carried.
    """

    name: str
    port: int = 0
    answer: Answer | None = None
    is_well: bool = True
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one request."""
        if request.path in {"/readyz", "/health"}:
            return web.Response(status=200 if self.is_well else 503)
        body = await request.read()
        self.asked.append(request.path)
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.answer is not None:
            return await self.answer(request, body)
        return web.json_response({"side": self.name})


@contextlib.asynccontextmanager
async def listening(upstream: Upstream) -> AsyncIterator[Upstream]:
    """Has it listen on its port, or a free one, until the context is left; its connections end with it."""
    runner = web.ServerRunner(web.Server(upstream.handle, access_log=None), shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", upstream.port)
        await site.start()
        upstream.port = runner.addresses[0][1]
        yield upstream
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def nobody(name: str) -> Iterator[Upstream]:
    """Keeps a port on which every connection is refused, for as long as the context lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Upstream(name, port=bound.getsockname()[1])

"""The console's addresses: the page and its parts, and the stream of events that fills it. Knows no figures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from server.http.console_feed import ConsoleFeed, FeedClosedError, TooManyViewersError, Viewer
from server.http.console_page import PAGE, PARTS
from server.http.problem import Problem

# A viewer that takes nothing for so long is sent away.
_PATIENCE = 5.0


def console_router(feed: Callable[[], ConsoleFeed | None]) -> APIRouter:
    """Returns the routes `/`, `/console/events` and `/console/{part}`.

    Args:
        feed: Returns what viewers are told from, or None while there is nothing to tell.
    """
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        """The page."""
        watched = feed()
        if watched is not None and not watched.max_viewers:
            raise Problem(404, "console.max_viewers is 0 in the server's settings.", title="The console is off")
        return PARTS[PAGE].answer(request)

    @router.get("/console/events", include_in_schema=False)
    async def events() -> Response:
        """What happens, once a second, for as long as the viewer stays."""
        watched = feed()
        if watched is None:
            raise _unavailable("The replica is starting", "It loads its model; its figures follow.")
        return EventStream(watched)

    @router.get("/console/{name}", include_in_schema=False)
    async def part(name: str, request: Request) -> Response:
        """A part of the page."""
        found = PARTS.get(name)
        if found is None or name == PAGE:
            raise Problem(404, "The console's page is at /.")
        return found.answer(request)

    return router


class EventStream(Response):
    """Server-sent events for one viewer, until it leaves, the replica leaves, or it takes nothing any more.

    Args:
        feed: What it is told from.
        patience: Seconds that one frame may wait to be taken.
    """

    def __init__(self, feed: ConsoleFeed, *, patience: float = _PATIENCE) -> None:
        super().__init__(
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"},
        )
        # Its length is not known.
        del self.headers["content-length"]
        self._feed = feed
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one viewer, or says why not."""
        try:
            with Viewer(self._feed) as viewer:
                await self._serve(viewer, receive, send)
        except FeedClosedError:
            problem = _unavailable("The replica is leaving", "Another one will answer.")
            await problem.response()(scope, receive, send)
        except TooManyViewersError:
            detail = f"This replica serves {self._feed.max_viewers} at once (console.max_viewers)."
            problem = _unavailable("Too many consoles are open", detail, retry_after=10)
            await problem.response()(scope, receive, send)

    async def _serve(self, viewer: Viewer, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._send_all(viewer, send)), loop.create_task(_disconnected(receive))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, viewer: Viewer, send: Send) -> None:
        try:
            await self._send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            # Something at once, so that whoever stands between passes the answer on.
            await self._send_text(send, b": tickserve\n\n")
            while (frame := await viewer.next()) is not None:
                await self._send_text(send, b"event: frame\ndata: " + frame + b"\n\n")
            await self._send_text(send, b"event: end\ndata: the replica is leaving\n\n", more=False)
        except TimeoutError:
            # It has taken nothing for long, so it cannot be told why either.
            return

    async def _send_text(self, send: Send, text: bytes, *, more: bool = True) -> None:
        await self._send(send, {"type": "http.response.body", "body": text, "more_body": more})

    async def _send(self, send: Callable[[Any], Awaitable[None]], message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._patience):
            await send(message)


def _unavailable(title: str, detail: str, *, retry_after: int = 1) -> Problem:
    return Problem(503, detail, title=title, headers={"Retry-After": str(retry_after)})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

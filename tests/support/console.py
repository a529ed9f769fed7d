"""The console in a real browser: the HTTP side on a port of its own, without Ray, and Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from playwright.async_api import Browser, async_playwright

from server.http.console_feed import ConsoleFeed
from server.http.console_routes import console_router
from server.http.http_app import build_http_app

# As root and without a screen; and no calls home.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]


@contextlib.asynccontextmanager
async def page_server(feed: Callable[[], ConsoleFeed | None]) -> AsyncIterator[str]:
    """Serves the console of a feed on a free loopback port; gives the page's address.

    The feed must be closed before the context is left: its viewers would hold the server up.
    """
    app = build_http_app(lambda: None, routers=[console_router(feed)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Runs a browser; skips the test where the machine has none."""
    path = await asyncio.to_thread(shutil.which, "chromium")
    if path is None:
        pytest.skip("Chromium is not installed; `make test` installs it where it may (scripts/test_servers.sh)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()

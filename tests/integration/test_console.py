"""Laws of the console in a real browser: it shows what happens, says when it does not know, and anybody can use it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from playwright.async_api import Page, ViewportSize, expect

from scripts.layering import ROOT
from server.http.console_feed import ConsoleFeed
from server.rpc.ingress import METHODS
from server.telemetry.recent import RecentActivity
from tests.integration.conftest import Service
from tests.support import messages as m
from tests.support.console import chromium, page_server
from tests.support.registry import make_registry
from tests.support.service import serving, settings_for
from tickserve.v1.model_service_pb2 import ReplicaStatistics

# Busy machines are slow; nothing here waits that long where all is well.
PATIENCE = 60_000
CHECKS = (ROOT / "tests" / "support" / "accessibility.js").read_text()
Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
LAPTOP = ViewportSize(width=1366, height=900)
SIZES = (LAPTOP, *(ViewportSize(width=width, height=900) for width in (820, 390, 320)))

expect.set_options(timeout=PATIENCE)


@contextlib.asynccontextmanager
async def opened(url: str, **context: object) -> AsyncIterator[Page]:
    """Opens the page; in the end it must not have complained to the browser's console."""
    async with chromium() as browser:
        page = await (await browser.new_context(**context)).new_page()  # type: ignore[arg-type]
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # A refused policy, a script that fails. That the service does not answer is a test's own doing.
        page.on("console", lambda it: complaints.append(it.text) if "Failed to load resource" not in it.text else None)
        await page.goto(url)
        yield page
        assert complaints == []


async def send(target: str, request: bytes, count: int) -> None:
    """Makes calls of `Predict`, whatever becomes of them."""
    async with grpc.aio.insecure_channel(target) as channel:
        predict: Call = channel.unary_unary(METHODS["Predict"])
        await asyncio.gather(*(predict(request, timeout=30) for _ in range(count)), return_exceptions=True)


class LateFeeds:
    """A replica that the test starts and ends, and that tells only when the test lets it."""

    def __init__(self) -> None:
        self.current: ConsoleFeed | None = None
        self.telling = asyncio.Event()

    def start(self) -> None:
        """Starts a replica."""
        self.telling.set()
        self.current = ConsoleFeed(
            replica_id="r1",
            statistics=self._statistics,
            recent=RecentActivity(),
            board=None,
            max_viewers=1,
            pause=self._pause,
        )

    def end(self) -> None:
        """Ends it, as a drain does."""
        assert self.current is not None
        self.current.close()
        self.current = None

    async def _statistics(self) -> list[ReplicaStatistics]:
        return [ReplicaStatistics(replica_id="r1")]

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 5)
        await self.telling.wait()


async def test_the_page_shows_what_happens(tmp_path: Path) -> None:
    """Nothing at first; then answers, batches and, by their reasons, refusals: as many as there were."""
    registry = await asyncio.to_thread(make_registry, tmp_path)
    settings = await asyncio.to_thread(settings_for, registry, cache={"enabled": False})
    async with (
        serving(settings) as service,
        page_server(lambda: service.replica.console) as url,
        opened(url, viewport=LAPTOP) as page,
    ):
        await expect(page.locator("#link-text")).to_have_text("Live")
        await expect(page.locator("#refusals-note")).to_contain_text("Nothing was refused")
        await expect(page.locator("#batches-note")).to_contain_text("No batch has run")
        await expect(page.locator("#models h3")).to_have_text("cnn_lstm")
        standard = page.locator("#classes tbody td[data-class=STANDARD]")
        await expect(standard.nth(4)).to_have_text("\u2013")

        await send(service.target, m.predict().SerializeToString(), 40)
        await send(service.target, b"\xff\xff\xff garbage", 3)
        await send(service.target, m.predict(window=m.spoilt_window(feature_count=7)).SerializeToString(), 2)
        await expect(standard.nth(4)).to_have_text("100\u202f%")
        await expect(standard.nth(7)).to_have_text(re.compile(r"^[\d.]+\u202fm?s$"))
        await expect(page.locator("#reasons .reason")).to_have_text(["MALFORMED_MESSAGE", "INVALID_SHAPE"])
        await expect(page.locator("#reasons .number")).to_have_text(["3", "2"])
        await expect(page.locator("#refusals tbody tr")).to_have_count(5)
        await expect(page.locator("#refusals-note")).to_contain_text("5 refusals")
        await expect(page.locator("#announce")).to_contain_text("Requests are being refused")
        await page.locator("#batches-details summary").click()
        sizes = [int(text) for text in await page.locator("#batches tbody td:nth-child(2)").all_inner_texts()]
        assert sizes
        assert max(sizes) <= settings.scheduler.max_batch_size
        assert sum(sizes) <= 40
        await expect(page.locator("#replicas tbody tr")).to_have_count(1)
        service.replica.console.close()


async def test_the_page_says_when_it_knows_nothing_and_returns_by_itself() -> None:
    """A replica that starts, one that hangs, one that leaves, a service that is gone: each in its own words."""
    feeds = LateFeeds()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(contextlib.AsyncExitStack())
        url = await server.enter_async_context(page_server(lambda: feeds.current))
        page = await stack.enter_async_context(opened(url, viewport=LAPTOP))
        state, banner = page.locator("#link-text"), page.locator("#banner")
        await expect(banner).to_contain_text("The replica is starting. It loads its model")
        await expect(state).to_have_text("Disconnected")

        feeds.start()
        await expect(state).to_have_text("Live")
        await expect(banner).to_be_hidden()

        feeds.telling.clear()
        await expect(state).to_have_text(re.compile(r"No news for \d+ s"))
        await expect(banner).to_contain_text("The figures below are of")
        await expect(page.locator("#announce")).to_contain_text("No news from the service")
        await expect(page).to_have_title("(no news) tickserve console")
        feeds.telling.set()
        await expect(state).to_have_text("Live")
        await expect(page.locator("#announce")).to_contain_text("Connected")

        feeds.end()
        await expect(banner).to_contain_text("Trying again in")
        feeds.start()
        await expect(state).to_have_text("Live")

        feeds.end()
        await server.aclose()
        await expect(banner).to_contain_text("The service cannot be reached.")
        await expect(page.locator("#replicas tbody tr")).to_have_count(1)


async def test_one_viewer_too_many_is_told_so() -> None:
    """And the one that watches goes on watching."""
    feeds = LateFeeds()
    feeds.start()
    async with page_server(lambda: feeds.current) as url, opened(url, viewport=LAPTOP) as first:
        await expect(first.locator("#link-text")).to_have_text("Live")
        second = await first.context.new_page()
        await second.goto(url)
        await expect(second.locator("#banner")).to_contain_text("Too many consoles are open. This replica serves 1")
        await expect(first.locator("#link-text")).to_have_text("Live")
        feeds.end()


async def test_anybody_can_use_it(tmp_path: Path) -> None:
    """With a keyboard, with a screen reader, with little contrast in the eyes, on a phone, and without motion."""
    registry = await asyncio.to_thread(make_registry, tmp_path)
    settings = await asyncio.to_thread(
        settings_for, registry, routes={"cnn_lstm": {"stable": 1, "candidate": 2, "percent": 50}}
    )
    async with (
        serving(settings) as service,
        page_server(lambda: service.replica.console) as url,
        opened(url, viewport=LAPTOP, reduced_motion="reduce") as page,
    ):
        await expect(page.locator("#link-text")).to_have_text("Live")
        await send(service.target, m.predict().SerializeToString(), 20)
        await send(service.target, b"\xff\xff\xff garbage", 1)
        await expect(page.locator("#reasons li")).to_have_count(1)
        await expect(page.locator(".arms tbody tr")).to_have_count(2)
        await page.locator("#batches-details summary").click()
        for size, scheme in itertools.product(SIZES, ("light", "dark")):
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            await page.evaluate("dispatchEvent(new Event('resize'))")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{size} scrolls sideways"
            assert await page.evaluate(CHECKS) == [], f"{size} {scheme}"
        assert await page.evaluate("getComputedStyle(document.getElementById('theme')).transitionDuration") == "0s"
        await page.set_viewport_size(LAPTOP)
        await walk(page)
        service.replica.console.close()


async def walk(page: Page) -> None:
    """Goes through the page by keyboard, from its beginning."""
    focused = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    seen: list[str] = []
    await page.reload()
    await expect(page.locator("summary")).to_be_visible()
    await page.keyboard.press("Tab")
    while (name := await page.evaluate(focused)) not in (*seen, "BODY"):
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", name
        seen.append(name)
        await page.keyboard.press("Tab")
    assert seen[:3] == ["skip", "theme", "SUMMARY"]

    ground = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(ground)
    await page.locator("#theme").focus()
    found = set()
    for choice in ("light", "dark"):
        await page.keyboard.press("Enter")
        await expect(page.locator("#theme")).to_have_text(f"Theme: {choice}")
        found.add(await page.evaluate(ground))
    assert len(found) == 2
    assert before in found
    await page.reload()
    await expect(page.locator("#theme")).to_have_text("Theme: dark")
    await page.locator(".skip").focus()
    await page.keyboard.press("Enter")
    assert await page.evaluate(focused) == "main"


def test_the_console_is_on_the_http_port(service: Service) -> None:
    """Through Ray Serve and its proxy, the page and its events."""
    with urllib.request.urlopen(f"{service.http}/", timeout=30) as reply:
        assert reply.headers["content-type"].startswith("text/html")
        assert b"tickserve" in reply.read()
    with urllib.request.urlopen(f"{service.http}/console/events", timeout=30) as reply:
        line = next(line for line in reply if line.startswith(b"data: "))
    frame = json.loads(line.removeprefix(b"data: "))
    assert frame["replica"] == frame["replicas"][0]["replica"]
    assert frame["models"][0]["name"] == "cnn_lstm"

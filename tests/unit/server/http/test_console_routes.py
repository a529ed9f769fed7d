"""Laws of the console's addresses: a page that lets nothing in, and a stream that holds up nobody."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from fastapi import Request, Response

from scripts.layering import ROOT
from server.http.console_feed import ConsoleFeed
from server.http.console_page import PARTS
from server.http.console_routes import EventStream, console_router
from server.http.http_app import build_http_app
from server.http.problem import PROBLEM_JSON
from server.refusal import Reason
from server.telemetry.recent import RecentActivity
from tests.support.fakes import settle
from tests.support.http_calls import fetch
from tickserve.v1.model_service_pb2 import ReplicaStatistics

STATIC = ROOT / "server" / "http" / "static"
NAMES = sorted(path.name for path in STATIC.iterdir() if path.name != "index.html")


WATCHED: list[ConsoleFeed | None] = [None]
APP = build_http_app(lambda: None, routers=[console_router(lambda: WATCHED[0])])


@pytest.fixture(autouse=True)
def nothing_is_watched() -> Iterator[None]:
    """Each test says what is."""
    yield
    WATCHED[0] = None


def make_feed(*, max_viewers: int = 2) -> ConsoleFeed:
    """A feed of one replica that makes one frame and waits."""

    async def statistics() -> Sequence[ReplicaStatistics]:
        return [ReplicaStatistics(replica_id="a")]

    async def forever(_: float) -> None:
        await asyncio.Event().wait()

    return ConsoleFeed(
        replica_id="a",
        statistics=statistics,
        recent=RecentActivity(),
        board=None,
        max_viewers=max_viewers,
        pause=forever,
    )


@pytest.fixture
async def feed() -> AsyncIterator[ConsoleFeed]:
    """A feed that at most two may watch."""
    made = make_feed()
    yield made
    made.close()


class Browser:
    """One who reads an event stream, or does not.

    Attributes:
        status: Of the answer; 0 before it.
        text: What came.
        ended: Whether the answer has ended as it should.
    """

    def __init__(self, feed: ConsoleFeed, *, reads: bool = True, patience: float = 60.0) -> None:
        self.status = 0
        self.text = b""
        self.ended = False
        self._reads = asyncio.Event()
        if reads:
            self._reads.set()
        self._left = asyncio.Event()
        self.task = asyncio.ensure_future(
            EventStream(feed, patience=patience)({"type": "http"}, self._receive, self._send)
        )

    def leave(self) -> None:
        """Closes the connection."""
        self._left.set()

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        # As a server whose buffer is full waits for whoever does not read.
        await self._reads.wait()
        self.text += message["body"]
        self.ended = not message.get("more_body", False)


async def test_the_page_lets_nothing_in_from_elsewhere(feed: ConsoleFeed) -> None:
    """Nor does any part of it; and nothing is inline, or the policy would break the page."""
    WATCHED[0] = feed
    for path in ["/", *(f"/console/{name}" for name in NAMES)]:
        reply = await fetch(APP, path)
        assert reply.status == 200
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(rb"https?://[^\"' )]+", reply.body):
            assert address == b"http://www.w3.org/2000/svg", "a name, not an address"
    page = (await fetch(APP, "/")).body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


async def test_all_that_the_page_wants_is_there(feed: ConsoleFeed) -> None:
    """Relative to wherever a proxy puts it, and each part says what it is."""
    WATCHED[0] = feed
    page = (await fetch(APP, "/")).body.decode()
    wanted = set(re.findall(r'(?:href|src)="(?!#)([^"]+)"', page))
    for name in NAMES:
        if name.endswith(".js"):
            wanted |= {f"console/{found}" for found in re.findall(r'from "\./([^"]+)"', (STATIC / name).read_text())}
    assert wanted == {f"console/{name}" for name in NAMES}
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for address in wanted:
        reply = await fetch(APP, f"/{address}")
        assert reply.headers["content-type"].startswith(types[address.rsplit(".", 1)[1]])


async def test_a_browser_asks_for_what_has_changed_only(feed: ConsoleFeed) -> None:
    """A part that it has already costs a word."""
    WATCHED[0] = feed
    tag = (await fetch(APP, "/console/console.js")).headers["etag"]
    part = PARTS["console.js"]

    def ask(value: str) -> Response:
        return part.answer(Request({"type": "http", "headers": [(b"if-none-match", value.encode())]}))

    assert (ask(tag).status_code, ask(tag).body) == (304, b"")
    assert ask('"another"').status_code == 200


@pytest.mark.parametrize(
    "path", ["/console/index.html", "/console/nothing.js", "/console/..%2fconsole_feed.py", "/console/"]
)
async def test_nothing_else_is_served(path: str) -> None:
    """No other file, wherever the name points."""
    reply = await fetch(APP, path)
    assert (reply.status, reply.headers["content-type"]) == (404, PROBLEM_JSON)


async def test_a_console_that_is_off_is_not_there() -> None:
    """Neither the page nor its events."""
    feed = make_feed(max_viewers=0)
    WATCHED[0] = feed
    assert (await fetch(APP, "/")).status == 404
    assert (await fetch(APP, "/console/events")).status == 503


async def test_a_replica_that_starts_says_so() -> None:
    """The page is there before the figures."""
    assert (await fetch(APP, "/")).status == 200
    reply = await fetch(APP, "/console/events")
    assert (reply.status, reply.json["title"], reply.headers["retry-after"]) == (503, "The replica is starting", "1")


async def test_events_are_frames(feed: ConsoleFeed) -> None:
    """In the form that the browser expects, and read by nobody else's buffer."""
    browser = Browser(feed)
    await settle()
    head, event, rest = browser.text.split(b"\n\n")
    assert (browser.status, head, rest) == (200, b": tickserve", b"")
    name, data = event.split(b"\n")
    assert name == b"event: frame"
    assert json.loads(data.removeprefix(b"data: "))["replica"] == "a"
    browser.leave()
    await browser.task


async def test_who_leaves_is_forgotten(feed: ConsoleFeed) -> None:
    """At once, and its place is free."""
    browser = Browser(feed)
    await settle()
    assert feed.viewer_count == 1
    browser.leave()
    await browser.task
    assert feed.viewer_count == 0


async def test_a_request_that_is_cancelled_is_forgotten(feed: ConsoleFeed) -> None:
    """As Ray Serve does it when the client has gone."""
    browser = Browser(feed)
    await settle()
    browser.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await browser.task
    assert feed.viewer_count == 0


async def test_who_does_not_read_is_sent_away(feed: ConsoleFeed) -> None:
    """Nothing is kept for it."""
    browser = Browser(feed, reads=False, patience=0.0)
    await browser.task
    assert (feed.viewer_count, browser.text) == (0, b"")


async def test_one_too_many_is_told_when_to_come_back(feed: ConsoleFeed) -> None:
    """The page shows the reason."""
    watching = [Browser(feed), Browser(feed)]
    await settle()
    third = Browser(feed)
    await third.task
    assert (third.status, json.loads(third.text)["title"]) == (503, "Too many consoles are open")
    for browser in watching:
        browser.leave()
        await browser.task


async def test_a_drain_ends_every_stream(feed: ConsoleFeed) -> None:
    """In good order, so that the replica need not wait for browsers; later ones are told to go elsewhere."""
    browser = Browser(feed)
    await settle()
    feed.close()
    await browser.task
    assert browser.ended
    assert browser.text.endswith(b"event: end\ndata: the replica is leaving\n\n")
    late = Browser(feed)
    await late.task
    assert (late.status, json.loads(late.text)["title"]) == (503, "The replica is leaving")


def test_every_reason_has_a_meaning() -> None:
    """An operator who reads a reason on the page reads below it what it means."""
    names = set(re.findall(r"^  ([A-Z_]+): \"", (STATIC / "reasons.js").read_text(), re.MULTILINE))
    assert names == {reason.name for reason in Reason}


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_files_are_short(path: Any) -> None:
    """The limit of the Python sources holds here, too."""
    assert len(path.read_text().splitlines()) < 300

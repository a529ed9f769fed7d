"""The split with the real HAProxy: who is answered by whom, while shares change and services go and come."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from server.edge.haproxy_process import EdgeError
from server.migration.split import BUCKETS, Shares, bucket_of
from server.migration.split_config import SIDE_HEADER, SplitPlan
from server.migration.split_control import SplitControl, SplitError
from server.migration.split_edge import SplitEdge
from tests.integration.conftest import free_port
from tests.support.upstreams import Upstream, listening, nobody
from tests.support.waiting import wait_for

PREDICT = "/ray-serve/predict"
EDGES = (0, 99, 100, 1999, 2000, 4999, 5000, 9999)
KEY = "x-tickserve-routing-key"
# A service that is well, takes predictions and never answers them.
MORTAL = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        print("asked", flush=True)
        time.sleep(600)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def caller_of(bucket: int) -> str:
    """Returns a caller with a bucket."""
    return next(name for name in map(str, itertools.count()) if bucket_of(name) == bucket)


def arriving(body: bytes, pieces: int) -> bytes | AsyncIterator[bytes]:
    """Returns a body that arrives at once, or in pieces with a pause between them."""

    async def parts() -> AsyncIterator[bytes]:
        for number in range(pieces):
            yield body[number * len(body) // pieces : (number + 1) * len(body) // pieces]
            await asyncio.sleep(0.1)

    return body if pieces == 1 else parts()


def mortal() -> subprocess.Popen[str]:
    """Starts such a service; its first line is its port."""
    return subprocess.Popen([sys.executable, "-c", MORTAL], stdout=subprocess.PIPE, text=True)


@dataclass(frozen=True)
class Split:
    """A split that runs."""

    url: str
    control: SplitControl
    pids: list[int]


@contextlib.contextmanager
def splitting(folder: Path, old: Upstream, new: Upstream, mirror: Upstream | None = None) -> Iterator[Split]:
    """Runs a split until the context is left."""
    port, stop, ready = free_port(), threading.Event(), threading.Event()
    plan = SplitPlan(
        folder=folder,
        listen=f"127.0.0.1:{port}",
        old=old.address,
        new=new.address,
        mirror=None if mirror is None else mirror.address,
    )
    pids: list[int] = []

    def told(pid: int) -> None:
        pids.append(pid)
        ready.set()

    edge = SplitEdge(plan)
    edge.prepare()
    thread = threading.Thread(target=edge.run, args=(stop, told))
    thread.start()
    try:
        assert ready.wait(60)
        yield Split(f"http://127.0.0.1:{port}", SplitControl(folder), pids)
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class Stage:
    """A split between two services."""

    split: Split
    old: Upstream
    new: Upstream
    client: aiohttp.ClientSession

    async def side(
        self, caller: str, path: str = PREDICT, *, body: bytes | AsyncIterator[bytes] = b"{}", header: str = KEY
    ) -> str:
        """Returns which side says to have answered; the answer itself must be that side's."""
        headers = {header: caller} | ({} if isinstance(body, bytes) else {"Content-Length": "60000"})
        async with self.client.post(self.split.url + path, data=body, headers=headers) as response:
            assert response.status == 200, await response.read()
            side = response.headers[SIDE_HEADER]
            assert (await response.json())["side"] == ("old" if side == "fallback" else side)
            return side

    async def sides(self, callers: list[str]) -> set[str]:
        """Returns who of them are answered by the new service; all others by the old one."""
        found = {caller: await self.side(caller) for caller in callers}
        assert set(found.values()) <= {"old", "new"}
        return {caller for caller, side in found.items() if side == "new"}

    async def set(self, split: int, sample: int = 0) -> None:
        """Puts shares in force, once the new service passes its checks."""
        await asyncio.to_thread(wait_for, self.split.control.new_is_up)
        await asyncio.to_thread(self.split.control.change, Shares(split=split, sample=sample))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Two services that are well, and a split between them."""
    async with listening(Upstream("old")) as old, listening(Upstream("new")) as new:
        with splitting(tmp_path / "split", old, new) as split:
            async with aiohttp.ClientSession() as client:
                yield Stage(split, old, new, client)


async def test_raising_the_share_only_moves_callers_to_the_new_service(stage: Stage) -> None:
    """On open connections, by the very buckets that Python computes; back at 0, all are old again."""
    # Some hundred, and those on the edges of the shares.
    callers = [f"desk-{number}" for number in range(150)] + [caller_of(bucket) for bucket in EDGES]
    before: set[str] = set()
    for percent in (0, 1, 20, 50, 100):
        await stage.set(split=percent * BUCKETS // 100)
        now = await stage.sides(callers)
        assert now >= before
        assert now == {caller for caller in callers if bucket_of(caller) < percent * BUCKETS // 100}
        before = now
    assert before == set(callers)
    await stage.set(split=0)
    assert await stage.sides(callers) == set()


async def test_a_caller_is_known_by_the_first_thing_that_names_him(stage: Stage) -> None:
    """Routing key, key, bearer token, address: whoever sends none of them is where his address is."""
    new = next(name for name in map(str, range(100)) if bucket_of(name) < BUCKETS // 2)
    await stage.set(split=BUCKETS // 2)
    for header in ("x-tickserve-routing-key", "x-api-key", "authorization"):
        assert await stage.side(new, header=header) == "new"
    expected = "new" if bucket_of("127.0.0.1") < BUCKETS // 2 else "old"
    assert await stage.side("", header="x-unknown") == expected


async def test_what_only_the_old_service_has_stays_with_it(stage: Stage) -> None:
    """Paths that are not the original's predictions, at 100 %, too."""
    await stage.set(split=BUCKETS)
    assert [await stage.side("any", path) for path in ("/models/reload", "/", "/ray-serve")] == ["old"] * 3
    assert await stage.side("any", "/batch-optimized/predict/batch") == "new"


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_new_service_that_is_killed_is_replaced_by_the_old(tmp_path: Path, pieces: int) -> None:
    """No call fails: neither the one that it took along, however its body came, nor those after; it may come back."""
    with mortal() as process:
        assert process.stdout is not None
        new = Upstream("new", port=int(await asyncio.to_thread(process.stdout.readline)))
        async with listening(Upstream("old")) as old, aiohttp.ClientSession() as client:
            with splitting(tmp_path / "split", old, new) as split:
                stage = Stage(split, old, new, client)
                await stage.set(split=BUCKETS)
                taken = asyncio.create_task(stage.side("a", body=arriving(b"x" * 60_000, pieces)))
                assert await asyncio.to_thread(process.stdout.readline) == "asked\n"
                process.kill()
                assert await taken == "fallback"
                assert old.bodies == [b"x" * 60_000]
                assert {await stage.side(f"caller-{number}") for number in range(20)} == {"fallback"}
                await asyncio.to_thread(process.wait)
                async with listening(new):
                    assert await asyncio.to_thread(wait_for, split.control.new_is_up)
                    assert await stage.side("a") == "new"


async def test_a_new_service_that_says_it_is_not_ready_is_left_alone(stage: Stage) -> None:
    """As while it drains: its callers are the old service's until it is ready again. The old one is always asked."""
    await stage.set(split=BUCKETS)
    stage.new.is_well = stage.old.is_well = False
    assert await asyncio.to_thread(wait_for, lambda: not stage.split.control.new_is_up())
    assert await stage.side("a") == "fallback"
    await asyncio.to_thread(stage.split.control.change, Shares())
    assert await stage.side("a") in {"old", "fallback"}


async def test_refusals_of_the_new_service_are_its_answers(stage: Stage) -> None:
    """An overload does not move callers, and is not doubled by trying again."""

    async def refuse(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        return web.Response(status=503)

    stage.new.answer = refuse
    await stage.set(split=BUCKETS)
    async with stage.client.post(stage.split.url + PREDICT) as response:
        assert (response.status, response.headers[SIDE_HEADER]) == (503, "new")
    assert len(stage.new.asked) == 1


async def test_the_sample_goes_through_the_mirror_and_past_it_when_it_is_gone(tmp_path: Path) -> None:
    """Of the old service's callers alone; a mirror that ends costs nobody an answer."""
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as life:
        old = await stack.enter_async_context(listening(Upstream("old")))
        new = await stack.enter_async_context(listening(Upstream("new")))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        mirror = await life.enter_async_context(listening(Upstream("mirror")))
        with splitting(tmp_path / "split", old, new, mirror) as split:
            stage = Stage(split, old, new, client)
            await stage.set(split=0, sample=BUCKETS)
            assert await stage.side("a") == "mirror"
            assert await stage.side("a", "/models") == "old"
            await stage.set(split=BUCKETS // 2, sample=BUCKETS // 2)
            found = {number: await stage.side(str(number)) for number in range(300)}
            old_callers = [side for number, side in found.items() if bucket_of(str(number)) >= BUCKETS // 2]
            assert "new" not in old_callers
            # By chance: 150 requests or so, a half of them, within five deviations.
            assert abs(old_callers.count("mirror") - len(old_callers) / 2) < 5 * (len(old_callers) / 4) ** 0.5
            await stage.set(split=0, sample=BUCKETS)
            await life.aclose()
            assert {await stage.side("a") for _ in range(10)} == {"fallback"}


async def test_the_shares_outlive_the_process(stage: Stage) -> None:
    """A split that is killed starts again with those in force; so does the next one, in the same folder."""
    await stage.set(split=BUCKETS, sample=7)
    os.kill(stage.split.pids[0], signal.SIGKILL)
    assert await asyncio.to_thread(wait_for, lambda: len(stage.split.pids) > 1)
    assert await asyncio.to_thread(stage.split.control.in_force) == Shares(split=BUCKETS, sample=7)
    await asyncio.to_thread(wait_for, stage.split.control.new_is_up)
    assert await stage.side("a") == "new"


def test_a_change_that_nobody_hears_is_told_and_kept(tmp_path: Path) -> None:
    """The next start begins with it."""
    control = SplitControl(tmp_path)
    with pytest.raises(SplitError, match="migrate edge"):
        control.change(Shares(split=5))
    assert control.stored() == Shares(split=5)


async def test_a_full_disk_does_not_keep_callers_from_going_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process hears of it all the same, and the command says that the next start will not."""
    await stage.set(split=BUCKETS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SplitError, match="only until the split starts again"):
        await asyncio.to_thread(stage.split.control.change, Shares())
    assert await stage.side("a") == "old"


async def test_a_folder_has_one_split(stage: Stage, tmp_path: Path) -> None:
    """A second one would take the socket from the first."""
    plan = SplitPlan(folder=tmp_path / "split", listen="127.0.0.1:1", old="127.0.0.1:1", new="127.0.0.1:1")
    with pytest.raises(EdgeError, match="already"):
        await asyncio.to_thread(SplitEdge(plan).prepare)
    assert await stage.side("a") == "old"


async def test_nobody_behind_it_is_unavailable(tmp_path: Path) -> None:
    """With both gone a caller is told so."""
    with nobody("old") as old, nobody("new") as new, splitting(tmp_path / "split", old, new) as split:
        async with aiohttp.ClientSession() as client, client.post(split.url + PREDICT) as response:
            assert response.status == 503

"""The Envoy example with the real Envoy: a monotone split by one order, the mirror, the fallback."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from scripts.layering import ROOT
from tests.integration.conftest import free_port
from tests.support.upstreams import Upstream, listening, nobody

BINARY = ROOT / "build/envoy/envoy/_bin/envoy"
EXAMPLE = ROOT / "deploy/migration/envoy.yaml"
CALLERS = [f"desk-{number}" for number in range(300)]

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="`make test-migration` installs Envoy where it may")


class Envoy:
    """An Envoy that runs the example."""

    def __init__(self, url: str, admin: str, client: aiohttp.ClientSession) -> None:
        self.url = url
        self.admin = admin
        self.client = client

    async def order(self, **values: int) -> None:
        """Changes the runtime as the example's comments say."""
        text = "&".join(f"{name.replace('__', '.')}={value}" for name, value in values.items())
        async with self.client.post(f"{self.admin}/runtime_modify?{text}") as response:
            assert await response.text() == "OK\n"

    async def answered_by(self, caller: str, path: str = "/ray-serve/predict") -> str:
        """Returns who really answered."""
        headers = {"x-tickserve-routing-key": caller}
        async with self.client.post(self.url + path, data=b"{}", headers=headers) as response:
            assert response.status == 200, await response.text()
            return str((await response.json())["side"])

    async def is_ready(self) -> bool:
        """Tells whether it serves."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self.client.get(f"{self.admin}/ready") as response:
                return response.status == 200
        return False

    async def new_callers(self) -> set[str]:
        """Returns the callers that the new service answers."""
        return {caller for caller in CALLERS if await self.answered_by(caller) == "new"}


def example(folder: Path, *, port: int, admin: int, old: Upstream, new: Upstream) -> Path:
    """Writes the example with a test's addresses in place of its own."""
    text = EXAMPLE.read_text()
    places = {
        "address: 0.0.0.0, port_value: 8080": f"address: 127.0.0.1, port_value: {port}",
        "port_value: 9901": f"port_value: {admin}",
        "address: tickserve, port_value: 8000": f"address: 127.0.0.1, port_value: {new.port}",
        "address: old-service, port_value: 8000": f"address: 127.0.0.1, port_value: {old.port}",
    }
    for there, here in places.items():
        assert there in text
        text = text.replace(there, here)
    path = folder / "envoy.yaml"
    path.write_text(text)
    return path


@contextlib.contextmanager
def process(configuration: Path) -> Iterator[None]:
    """Runs Envoy until the context is left."""
    command = [str(BINARY), "-c", str(configuration), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.kill()


@contextlib.asynccontextmanager
async def envoy(folder: Path, old: Upstream, new: Upstream) -> AsyncIterator[Envoy]:
    """Runs the example until the context is left."""
    port, admin = free_port(), free_port()
    configuration = example(folder, port=port, admin=admin, old=old, new=new)
    async with aiohttp.ClientSession() as client:
        with process(configuration):
            made = Envoy(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", client)
            await until(made.is_ready)
            yield made


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what Envoy does by itself, a minute at most."""
    for _ in range(600):
        if await look():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("waited a minute in vain")


async def test_raising_the_weight_only_moves_callers_to_the_new_service(tmp_path: Path) -> None:
    """None, some more, all, none again; shares within five deviations; other paths stay old."""
    async with listening(Upstream("old")) as old, listening(Upstream("new")) as new, envoy(tmp_path, old, new) as edge:
        before: set[str] = await edge.new_callers()
        assert before == set()
        for percent in (20, 50, 100):
            await edge.order(migration__new=percent, migration__old=100 - percent)
            now = await edge.new_callers()
            share = percent / 100
            assert now >= before
            assert abs(len(now) - share * len(CALLERS)) <= 5 * (len(CALLERS) * share * (1 - share)) ** 0.5
            before = now
        assert await edge.answered_by("desk-1", "/models") == "old"
        await edge.order(migration__new=0, migration__old=100)
        assert await edge.new_callers() == set()


async def test_copies_are_sent_and_their_answers_thrown_away(tmp_path: Path) -> None:
    """The caller is answered by the old service; the new one is asked the same."""
    async with listening(Upstream("old")) as old, listening(Upstream("new")) as new, envoy(tmp_path, old, new) as edge:
        await edge.order(migration_mirror=10_000)
        assert {await edge.answered_by(caller) for caller in CALLERS[:10]} == {"old"}

        async def copied() -> bool:
            return len(new.asked) >= 10

        await until(copied)
        assert new.bodies == [b"{}"] * 10


async def test_a_new_service_that_is_gone_is_replaced_by_the_old(tmp_path: Path) -> None:
    """At 100 %, no call fails."""
    with nobody("new") as new:
        async with listening(Upstream("old")) as old, envoy(tmp_path, old, new) as edge:
            await edge.order(migration__new=100, migration__old=0)
            assert {await edge.answered_by(caller) for caller in CALLERS[:20]} == {"old"}

"""The mirror over real connections: callers get the old service's answer, whatever the new one does."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from server.migration.agreement import Agreement
from server.migration.mirror_proxy import MirrorPlan, MirrorProxy, serve
from server.migration.original_answers import PREDICT
from tests.support.upstreams import Upstream, listening, nobody

# Busy machines are slow.
PATIENCE = 30.0


def answer(probability: float) -> bytes:
    """Returns the body of an answer with two classes."""
    result = {"classification_probs": [1 - probability, probability], "regression_pred": [0.25]}
    return json.dumps({"predictions": result}).encode()


@dataclass
class Stage:
    """A mirror between two services.

    Attributes:
        old: Answers callers.
        new: Is asked the same.
        agreement: What came of it; complete when the mirror has closed.
        port: Of the mirror.
        client: A caller.
    """

    old: Upstream
    new: Upstream
    agreement: Agreement
    port: int
    client: aiohttp.ClientSession

    async def post(self, path: str = PREDICT, body: bytes = b"{}", **given: str) -> tuple[int, bytes]:
        """Returns what a caller is answered."""
        headers = {name.replace("_", "-"): value for name, value in given.items()}
        async with self.client.post(f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers) as response:
            return response.status, await response.read()


@contextlib.asynccontextmanager
async def mirrored(old: Upstream, new: Upstream, **changes: object) -> AsyncIterator[Stage]:
    """Serves a mirror; when the context is left, everything that it took has been compared."""
    plan = MirrorPlan(old=f"http://{old.address}", new=f"http://{new.address}", new_timeout=PATIENCE)
    for name, value in changes.items():
        object.__setattr__(plan, name, value)
    agreement, stop = Agreement(), asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(MirrorProxy(plan, agreement), host="127.0.0.1", port=0, stop=stop, on_ready=bound.set_result)
    )
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as client:
            yield Stage(old, new, agreement, await bound, client)
    finally:
        stop.set()
        await serving


def saying(body: bytes, status: int = 200, **headers: str) -> Upstream:
    """Returns a service that always says the same."""

    async def tell(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return Upstream("", answer=tell)


async def test_the_caller_is_answered_by_the_old_service_and_the_copy_is_compared() -> None:
    """To the byte; the new service is asked the very same, as the same caller."""
    async with listening(saying(answer(0.75))) as old, listening(saying(answer(0.5))) as new:
        async with mirrored(old, new) as stage:
            said = await stage.post(body=b'{"data": [1]}', Authorization="Bearer k", Cookie="a=b")
            assert said == (200, answer(0.75))
        assert new.bodies == old.bodies == [b'{"data": [1]}']
        assert new.headers[0]["authorization"] == "Bearer k"
        assert "cookie" in old.headers[0]
        assert "cookie" not in new.headers[0]
    report = stage.agreement.report()
    assert (report.windows, report.same_class, report.largest_probability_difference) == (1, 0, 0.25)


async def test_a_new_service_that_is_gone_costs_callers_nothing() -> None:
    """They are answered, and its failures are counted."""
    with nobody("new") as new:
        async with listening(saying(answer(0.5))) as old, mirrored(old, new) as stage:
            assert [await stage.post() for _ in range(3)] == [(200, answer(0.5))] * 3
    assert stage.agreement.report().new_failures == {"unreachable": 3}


async def test_a_new_service_that_never_answers_holds_no_caller_up() -> None:
    """They are answered while every copy still hangs; what finds no room is dropped."""
    may = asyncio.Event()

    async def hang(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        await may.wait()
        return web.Response(body=answer(0.5))

    slow = Upstream("slow", answer=hang)
    async with listening(saying(answer(0.5))) as old, listening(slow) as new, mirrored(old, new) as stage:
        said = await asyncio.gather(*(stage.post() for _ in range(300)))
        assert set(said) == {(200, answer(0.5))}
        assert stage.agreement.report().compared_requests == 0
        may.set()
    report = stage.agreement.report()
    assert report.dropped > 0
    assert report.dropped + report.windows == 300


async def test_an_answer_passes_unchanged() -> None:
    """Status, repeated headers, compressed bodies, paths with queries: of every method, and not only of predictions."""
    packed = gzip.compress(b"hello")

    async def tell(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        response = web.Response(
            status=418, body=packed, headers={"Content-Encoding": "gzip", "X-Asked": request.raw_path}
        )
        response.headers.extend([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return response

    async with listening(Upstream("old", answer=tell)) as old, listening(Upstream("new")) as new:
        async with mirrored(old, new) as stage:
            url = f"http://127.0.0.1:{stage.port}/models/a%2Fb?x=1&x=2"
            async with stage.client.put(url, data=b"x") as response:
                assert (response.status, await response.read()) == (418, packed)
                assert response.headers["X-Asked"] == "/models/a%2Fb?x=1&x=2"
                assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert new.asked == []


@pytest.mark.parametrize(("status", "failures"), [(500, {"500": 1}), (422, {"422": 1})])
async def test_what_the_old_service_refuses_is_not_put_to_the_new(status: int, failures: dict[str, int]) -> None:
    """There is nothing to compare it with."""
    async with listening(saying(b"no", status)) as old, listening(Upstream("new")) as new:
        async with mirrored(old, new) as stage:
            assert await stage.post() == (status, b"no")
        assert new.asked == []
    assert stage.agreement.report().old_failures == failures


async def test_a_body_too_large_to_keep_passes_all_the_same() -> None:
    """It is counted, and not mirrored."""
    async with listening(saying(answer(0.5))) as old, listening(Upstream("new")) as new:
        async with mirrored(old, new, max_body=1000) as stage:
            assert await stage.post(body=b"x" * 100_000) == (200, answer(0.5))
        assert (old.bodies, new.asked) == ([b"x" * 100_000], [])
    assert stage.agreement.report().too_large == 1


async def test_a_compressed_answer_is_compared_as_what_it_says() -> None:
    """An old gateway that compresses is not counted against the new service."""
    packed = gzip.compress(answer(0.75))
    gateway = saying(packed, content_encoding="gzip")
    async with listening(gateway) as old, listening(saying(answer(0.5))) as new, mirrored(old, new) as stage:
        assert await stage.post(accept_encoding="gzip") == (200, packed)
    report = stage.agreement.report()
    assert (report.windows, report.largest_probability_difference, report.unreadable) == (1, 0.25, 0)


async def test_bodies_under_way_share_one_bound() -> None:
    """Callers who all send at once are all answered, and what there is no room for is not copied."""
    both, here = asyncio.Event(), 0

    async def tell(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await both.wait()  # so that two bodies are under way at once
        return web.Response(body=answer(0.5))

    gathering = Upstream("old", answer=tell)
    async with (
        listening(gathering) as old,
        listening(saying(answer(0.5))) as new,
        mirrored(old, new, max_copies=1500) as stage,
    ):
        said = await asyncio.gather(*(stage.post(body=b"x" * 1000) for _ in range(2)))
        assert set(said) == {(200, answer(0.5))}
        assert await stage.post(body=b"y" * 1000) == (200, answer(0.5))  # the room is given back
    report = stage.agreement.report()
    assert (report.windows, report.too_large) == (2, 1)


async def test_an_endless_answer_of_the_new_service_is_not_read_to_its_end() -> None:
    """It is counted as too large."""
    async with (
        listening(saying(answer(0.5))) as old,
        listening(saying(b"x" * 10_000)) as new,
        mirrored(old, new, max_body=1000) as stage,
    ):
        assert await stage.post() == (200, answer(0.5))
    assert stage.agreement.report().new_failures == {"too large": 1}


async def test_an_old_service_that_is_gone_is_a_bad_gateway() -> None:
    """As any proxy says it; the mirror lives on."""
    with nobody("old") as old:
        async with listening(Upstream("new")) as new, mirrored(old, new) as stage:
            assert [status for status, _ in [await stage.post(), await stage.post()]] == [502, 502]
        assert stage.agreement.report().old_failures == {"ClientConnectorError": 2}


async def test_half_an_answer_is_broken_off() -> None:
    """A caller is not told that it was whole."""

    async def half(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async with listening(Upstream("old", answer=half)) as old, listening(Upstream("new")) as new:
        async with mirrored(old, new) as stage:
            with pytest.raises(aiohttp.ClientError):
                await stage.post()
        assert new.asked == []


async def test_copies_may_have_a_key_of_their_own() -> None:
    """Callers' keys of the old service are not known to the new one."""
    async with listening(saying(answer(0.5))) as old, listening(saying(answer(0.5))) as new:
        async with mirrored(old, new, api_key="mirror.secret") as stage:
            await stage.post(authorization="Bearer of-the-old", x_api_key="other")
        assert old.headers[0]["authorization"] == "Bearer of-the-old"
        assert new.headers[0]["authorization"] == "Bearer mirror.secret"
        assert "x-api-key" not in new.headers[0]

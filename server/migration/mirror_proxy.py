"""The mirror's first half: an HTTP proxy that hands every request to the old service and its answer back, unchanged.

Owns both connections. The answer is the old service's, to its last byte, before anything is compared; so a new service
that is slow, wrong or gone costs callers nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from server.migration.agreement import Agreement
from server.migration.mirror import OK, AskError, Exchange, Mirror, NewAnswer
from server.migration.original_answers import COMPARED_PATHS
from server.migration.tee import CopyRoom, Tee

# Of one connection, not of the message (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)
# What of the caller's headers a copy carries: who it is, so that the new service is asked as it will be.
_COPIED = ("content-type", "content-encoding", "x-tickserve-routing-key", "x-api-key", "authorization")
_CONNECT_TIMEOUT = 2.0


@dataclass(frozen=True, kw_only=True)
class MirrorPlan:
    """What the proxy does.

    Attributes:
        old: URL of the old service, without a path.
        new: URL of tickserve's HTTP side.
        api_key: That copies are sent with in place of the caller's own; None: as the caller sent it.
        old_timeout: Seconds that the old service may take.
        new_timeout: Seconds that the new one may take for a copy.
        max_body: Bytes of a body, up to which it is mirrored.
        max_copies: Bytes of the copies of all bodies that are under way; what does not fit is not mirrored.
    """

    old: str
    new: str
    api_key: str | None = None
    old_timeout: float = 60.0
    new_timeout: float = 10.0
    max_body: int = 8 * 2**20
    max_copies: int = 64 * 2**20


class MirrorProxy:
    """The proxy; an asynchronous context, in which `handle` serves.

    Args:
        plan: What it does.
        agreement: Counts.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, plan: MirrorPlan, agreement: Agreement, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._plan = plan
        self._agreement = agreement
        self._clock = clock
        self._mirror = Mirror(self._ask, agreement, max_answer=plan.max_body)
        self._room = CopyRoom(plan.max_copies)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> MirrorProxy:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers={"User-Agent", "Accept", "Accept-Encoding", "Content-Type"},
        )
        self._mirror.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._mirror.close(self._plan.new_timeout)
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one request: what the old service says, or 502 or 504 where it says nothing."""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        source = request.content.iter_any() if request.body_exists else None
        most = self._plan.max_body
        with Tee(self._room, most, source) as asked, Tee(self._room, most) as told:
            return await self._handle(request, asked, told)

    async def _handle(self, request: web.BaseRequest, asked: Tee, told: Tee) -> web.StreamResponse:
        began = self._clock()
        timeout = aiohttp.ClientTimeout(total=self._plan.old_timeout, sock_connect=_CONNECT_TIMEOUT)
        response: web.StreamResponse | None = None
        try:
            async with self._client.request(
                request.method,
                self._plan.old + request.raw_path,
                headers=_end_to_end(request.headers),
                data=asked.chunks() if request.body_exists else None,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                response.headers.clear()
                response.headers.extend(_end_to_end(answer.headers))
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    told.keep(chunk)
                    await response.write(chunk)
                seconds = self._clock() - began
                await response.write_eof()
        except (aiohttp.ClientError, TimeoutError, ConnectionError, web.RequestPayloadError) as error:
            left = request.transport is None or request.transport.is_closing()
            if left or (response is not None and response.prepared):
                # Half an answer is out: only breaking off tells the caller.
                if request.transport is not None:
                    request.transport.close()
                return response or web.Response(status=400)
            self._agreement.old_failed(type(error).__name__)
            return web.Response(status=504 if isinstance(error, TimeoutError) else 502)
        self._offer(request, response, asked, told, seconds)
        return response

    def _offer(
        self, request: web.BaseRequest, response: web.StreamResponse, asked: Tee, told: Tee, seconds: float
    ) -> None:
        if request.method != "POST" or request.path not in COMPARED_PATHS:
            return
        if response.status != OK:
            self._agreement.old_failed(str(response.status))
        elif asked.kept is None or told.kept is None:
            self._agreement.too_large += 1
        else:
            exchange = Exchange(
                path=request.path,
                headers={name: request.headers[name] for name in _COPIED if name in request.headers},
                body=bytes(asked.kept),
                answer=bytes(told.kept),
                coding=response.headers.get("Content-Encoding", ""),
                seconds=seconds,
            )
            self._mirror.offer(exchange)

    async def _ask(self, exchange: Exchange) -> NewAnswer:
        headers = dict(exchange.headers)
        if self._plan.api_key is not None:
            headers = {name: value for name, value in headers.items() if name not in {"x-api-key", "authorization"}}
            headers["authorization"] = f"Bearer {self._plan.api_key}"
        return await ask(
            self._client,
            self._plan.new + exchange.path,
            exchange.body,
            headers,
            timeout=self._plan.new_timeout,
            clock=self._clock,
            most=self._plan.max_body,
        )

    @property
    def patience(self) -> float:
        """Seconds that requests under way may take when it ends."""
        return self._plan.old_timeout

    @property
    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the proxy serves inside its context alone"
        return self._session


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout: float,
    clock: Callable[[], float],
    most: int = 64 * 2**20,
) -> NewAnswer:
    """Posts a body and returns the whole answer.

    Args:
        session: Whose connections are used.
        url: Where.
        body: What.
        headers: With it.
        timeout: Seconds allowed.
        clock: Seconds, monotonic.
        most: Bytes of an answer.

    Raises:
        AskError: There was none, or a larger one.
    """
    began = clock()
    limit = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_TIMEOUT)
    try:
        async with session.post(url, data=body, headers=headers, timeout=limit, allow_redirects=False) as answer:
            try:
                await answer.content.readexactly(most + 1)
            except asyncio.IncompleteReadError as whole:
                return NewAnswer(status=answer.status, body=whole.partial, seconds=clock() - began)
            raise AskError("too large")
    except TimeoutError:
        raise AskError("timeout") from None
    except aiohttp.ClientError as error:
        raise AskError("unreachable" if isinstance(error, aiohttp.ClientConnectorError) else "broken") from None


def _end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the headers of the message, repeated ones too, without those of the connection."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | named
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped]


async def serve(
    proxy: MirrorProxy, *, host: str, port: int, stop: asyncio.Event, on_ready: Callable[[int], None]
) -> None:
    """Listens until it is told to stop, then lets the requests under way finish.

    Raises:
        OSError: The port is taken.
    """
    server = web.Server(proxy.handle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=proxy.patience)
    async with proxy:
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            on_ready(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()

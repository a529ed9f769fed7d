"""One answer for each request id: repeats of a request wait for the first one, or get its answer again.

Owns whose ids count, and the waiting; `request_ledger` decides. Knows nothing of messages or of what is computed.

An id counts if nobody else can have come by it: of a caller with an identity, any id; of an anonymous one, only a UUID.
Two strangers that both number their requests from 1 must get neither each other's answers nor each other's errors, and
no address tells them apart: behind the proxy all callers have the same one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable

from batching import ExpiredInQueueError
from server.config.live_settings import LiveSettings
from server.refusal import Reason, Refusal
from server.results.request_ledger import LedgerStatistics, RequestKey, RequestLedger, Turn

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Claim:
    """The right to answer a request, or the answer that was given to it before.

    Attributes:
        answer: What was given before; None if this request is to be computed.
        kept: What `keep` was given.
    """

    __slots__ = ("answer", "kept")

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.kept: bytes | None = None

    def keep(self, answer: bytes) -> None:
        """Has the computed answer remembered when the claim ends; without it the claim has failed."""
        self.kept = answer


class Idempotency:
    """Answers each request id once.

    Args:
        live: For how long, and how much.
        clock: Monotonic seconds.
    """

    def __init__(self, live: LiveSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock = clock
        settings = live.current.cache
        self._ledger = RequestLedger(
            window=settings.request_id_window,
            max_entries=settings.request_id_entries,
            max_bytes=settings.request_id_bytes,
        )
        self._ended: dict[RequestKey, asyncio.Future[None]] = {}

    def key(self, caller: str, request_id: str) -> RequestKey | None:
        """Returns what a request is known by; None if its id does not count."""
        if not request_id or not self._live.current.cache.request_id_window:
            return None
        if not caller and _UUID.fullmatch(request_id) is None:
            return None
        return RequestKey(caller, request_id)

    @contextlib.asynccontextmanager
    async def claim(
        self, key: RequestKey, payload: bytes, *, received_at: float, deadline: float
    ) -> AsyncIterator[Claim]:
        """Enters when the request may be computed, or has its answer.

        Whatever ends the block, cancellation included, ends the claim: without `keep`, whoever waits runs next.

        Args:
            key: Whose request, and which.
            payload: Digest of all that decides the answer.
            received_at: Monotonic seconds.
            deadline: Until when this request waits for another one, monotonic seconds.

        Raises:
            Refusal: REQUEST_ID_REUSED.
            ExpiredInQueueError: The deadline passed meanwhile.
        """
        self._apply_settings()
        answer = await self._enter(key, payload, received_at, deadline)
        claim = Claim(answer)
        if answer is not None:
            yield claim
            return
        self._ended[key] = asyncio.get_running_loop().create_future()
        try:
            yield claim
        finally:
            if claim.kept is not None:
                self._ledger.complete(key, claim.kept, self._clock())
            else:
                self._ledger.fail(key)
            self._ended.pop(key).set_result(None)

    def statistics(self) -> LedgerStatistics:
        """Returns the figures now."""
        return self._ledger.statistics()

    async def _enter(self, key: RequestKey, payload: bytes, received_at: float, deadline: float) -> bytes | None:
        while True:
            turn = self._ledger.claim(key, payload, self._clock())
            if isinstance(turn, bytes):
                now = self._clock()
                if now >= deadline:
                    raise ExpiredInQueueError(now - received_at)
                return turn
            if turn is Turn.RUN:
                return None
            if turn is Turn.REUSED:
                raise Refusal(
                    Reason.REQUEST_ID_REUSED,
                    "This request_id was used for another request; use a new one, or repeat the request unchanged.",
                    field="request_id",
                )
            try:
                # Does not cancel what it waits for, whatever becomes of this request.
                done, _ = await asyncio.wait([self._ended[key]], timeout=max(0.0, deadline - self._clock()))
            finally:
                self._ledger.leave(key)
            now = self._clock()
            if not done and now >= deadline:
                raise ExpiredInQueueError(now - received_at)

    def _apply_settings(self) -> None:
        settings = self._live.current.cache
        self._ledger.window = settings.request_id_window
        self._ledger.max_entries = settings.request_id_entries
        self._ledger.max_bytes = settings.request_id_bytes

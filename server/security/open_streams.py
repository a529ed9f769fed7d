"""Streams whose caller may lose the right to them: a key that is halted, revoked, replaced or expires ends them.

Unary calls are short and are let in anew each time; a stream lives for hours, and is looked at again all the while.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator

from server.call import Call
from server.refusal import Refusal
from server.security.authorizer import Authorizer
from server.security.halt import HaltScope, ScopeKind
from server.security.halt_view import HaltChange, Halts

logger = logging.getLogger("tickserve")

INTERVAL = 0.25
"""Seconds between two looks at the keys; the ring itself looks at its file every second."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    key_id: str
    method: str
    digest: bytes | None
    end: Callable[[Refusal], None]


class OpenStreams:
    """The open streams of known callers. Event loop only.

    Args:
        halts: What is halted.
        authorizer: Knows the keys; None: nobody asks for any.
    """

    def __init__(self, halts: Halts, authorizer: Authorizer | None = None) -> None:
        self._halts = halts
        self._authorizer = authorizer
        self._streams: set[_Stream] = set()
        halts.on_change(self._note)

    @contextlib.contextmanager
    def held(self, call: Call, end: Callable[[Refusal], None]) -> Iterator[None]:
        """Watches over a stream while the context is entered.

        Args:
            call: The stream's RPC.
            end: Called once, with what the client is to be told; must not raise.

        Raises:
            Refusal: HALTED, when it is entered: the caller's key is halted.
        """
        key_id = call.key_id
        if not key_id:
            yield
            return
        digest = None if self._authorizer is None else self._authorizer.digest_of(key_id)
        stream = _Stream(key_id, call.method.rpartition("/")[2], digest, end)
        refusal = self._halted(stream)
        if refusal is not None:
            raise refusal
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    def review(self) -> None:
        """Ends the streams of those who may not have them any more."""
        for stream in list(self._streams):
            refusal = self._halted(stream)
            if refusal is None and self._authorizer is not None:
                refusal = self._authorizer.objection(stream.key_id, stream.digest, stream.method)
            if refusal is not None:
                self._streams.discard(stream)
                told = {"key_id": stream.key_id, "called": stream.method, "reason": refusal.reason.name}
                logger.warning("a stream is ended: %s", refusal.reason.name, extra=told)
                stream.end(refusal)

    async def run(self) -> None:
        """Reviews again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self.review()
            except Exception:
                logger.exception("the open streams were not reviewed")

    def _halted(self, stream: _Stream) -> Refusal | None:
        halt = self._halts.current.halts.get(HaltScope(ScopeKind.KEY, stream.key_id))
        return None if halt is None else halt.refusal()

    def _note(self, _: HaltChange) -> None:
        self.review()

"""Notices that the engine fails whatever it is given: a CUDA context after a device-side assert, say, never recovers.

Such a replica fails faster than the others answer, and so the proxy, which looks for the one with the fewest calls,
would send it ever more of them. Only a new process helps.

Owns the judgement. Callers cannot bring it about: what counts at the end is the deep check's own window, twice, with no
answered call between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.inference.batch_run import BatchRun
from server.observation.request_record import RequestRecord
from server.observation.rpc_record import RpcRecord

logger = logging.getLogger("tickserve")

_SUSPECT_AFTER = 3
_PROBES = 2
# Longer than deep checks are apart at the least: two questions are two checks.
_INTERVAL = 1.5


class EngineFailures:
    """An observer of the engine's calls; `run` asks for a check where it is under suspicion.

    Args:
        check: Has the engine compute a window of its own, and returns when it has been told of the outcome.
        on_dead: Called once, on the event loop, when the engine is beyond hope; ends the process.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        *,
        check: Callable[[], Awaitable[object]],
        on_dead: Callable[[], object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._check = check
        self._on_dead = on_dead
        self._sleep = sleep
        self._failures = 0
        self._failed_probes = 0

    @property
    def is_suspect(self) -> bool:
        """Whether the last few calls have all failed."""
        return self._failures >= _SUSPECT_AFTER

    @property
    def is_dead(self) -> bool:
        """Whether checks have failed, too."""
        return self.is_suspect and self._failed_probes >= _PROBES

    def request_ended(self, record: RequestRecord) -> None:
        """Knows nothing of requests."""

    def rpc_ended(self, record: RpcRecord) -> None:
        """Knows nothing of RPCs."""

    def batch_ended(self, run: BatchRun) -> None:
        """Takes note of an engine call; in the engine's thread."""
        if not run.failed:
            self._failures = self._failed_probes = 0
            return
        self._failures += 1
        self._failed_probes += run.is_probe

    async def run(self) -> None:
        """Watches until the engine is beyond hope, or it is cancelled."""
        while not self.is_dead:
            await self._sleep(_INTERVAL)
            if self.is_suspect:
                try:
                    await self._check()
                except Exception:
                    logger.exception("the engine fails, and could not be checked")
        logger.critical("every engine call fails, the deep check's too; ending the process to replace the replica")
        self._on_dead()

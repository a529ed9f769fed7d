"""Who is told what happened. Owns the Protocol and the fan-out; an observer that fails harms no request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from server.inference.batch_run import BatchRun
from server.observation.request_record import RequestRecord
from server.observation.rpc_record import RpcRecord

logger = logging.getLogger("tickserve")

T = TypeVar("T")


class Observer(Protocol):
    """Hears of everything that has ended. Must not block, and must not keep messages or windows alive."""

    def request_ended(self, record: RequestRecord) -> None:
        """Hears of one prediction request, on the event loop."""

    def batch_ended(self, run: BatchRun) -> None:
        """Hears of one engine call, in the engine's thread."""

    def rpc_ended(self, record: RpcRecord) -> None:
        """Hears of one RPC, on the event loop, after the requests in it."""


class Observers:
    """Tells each of several observers.

    Args:
        observers: In the order in which they are told.

    Attributes:
        failure_count: How often one of them raised.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self.failure_count = 0

    def request_ended(self, record: RequestRecord) -> None:
        """Passes it on."""
        for observer in self._observers:
            self._tell(observer.request_ended, record)

    def batch_ended(self, run: BatchRun) -> None:
        """Passes it on."""
        for observer in self._observers:
            self._tell(observer.batch_ended, run)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Passes it on."""
        for observer in self._observers:
            self._tell(observer.rpc_ended, record)

    def _tell(self, hear: Callable[[T], None], record: T) -> None:
        try:
            hear(record)
        except Exception:
            self.failure_count += 1
            # Only the first: one that fails always would fill the log at the rate of the requests.
            if self.failure_count == 1:
                logger.exception("an observer failed; requests are answered without it")

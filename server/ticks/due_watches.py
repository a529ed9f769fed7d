"""Follows the due predictions of one tick stream to their ends. Knows the places that they wait in, and no messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from server.call import Call
from server.observation.request_record import RequestKind
from server.observation.request_watch import RequestWatch, RequestWatcher
from server.ticks.pending_prediction import PendingPrediction
from server.ticks.session_terms import SessionTerms


class DueWatches:
    """One watch for each place: a prediction that a newer one replaced there is no request any more.

    Args:
        watcher: Makes the watches.
        call: The stream's RPC.
    """

    def __init__(self, watcher: RequestWatcher, call: Call) -> None:
        self._watches = watcher.several(call, RequestKind.TICK)
        self._of_place: dict[PendingPrediction, RequestWatch] = {}

    def follow(self, pending: PendingPrediction, terms: SessionTerms) -> None:
        """Tells the watch of a place what the place is for now."""
        watch = self._of_place.get(pending)
        if watch is None:
            watch = self._of_place[pending] = self._watches.begin(received_at=pending.received_at)
            watch.symbol, watch.priority, watch.model = pending.due.symbol, terms.priority, terms.model
        watch.received_at, watch.deadline = pending.received_at, pending.deadline
        watch.parsed()  # its ticks are read and applied

    @contextlib.contextmanager
    def ending(self, pending: PendingPrediction) -> Iterator[RequestWatch]:
        """Enters with the watch of a place, which ends with the context."""
        watch = self._of_place[pending]
        try:
            with watch:
                yield watch
        finally:
            self._of_place.pop(pending, None)

    def close(self) -> None:
        """Ends what nothing else has ended: the stream is over. Idempotent."""
        self._watches.close()
        self._of_place.clear()

"""Everything that watches one replica: traces, metrics, logs, the console's recent activity, the event loop's lag.

Owns their start and stop, and what they are told of each other. `replica` gives them what to watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from server.config.settings import Settings
from server.health.loop_lag import LoopLag
from server.models.served_model import ServedModel
from server.observation.observer import Observer, Observers
from server.observation.sampler import Sampler
from server.oip.inference_figures import InferenceFigures
from server.replica_figures import Telling, telling_of
from server.replica_metrics import ReplicaMetrics
from server.security.authorizer import Authorizer
from server.statistics.replica_snapshot import ReplicaSnapshot
from server.telemetry.recent import RecentActivity
from server.telemetry.replica_logs import ReplicaLogs
from server.telemetry.trace_observer import TraceObserver


class ReplicaTelemetry:
    """Watches one replica.

    Args:
        settings: The server's settings.
        replica_id: Identifies the replica in all that is told of it.
        node_id: Where it runs, as Ray names it; empty without Ray.
        sampler: Places calls in traces, at the seam.
        observers: Told of every request, batch and RPC that ends, beside those made here.
        authorizer: Knows who may read the metrics.

    Attributes:
        tracing: Makes spans, and knows how many were lost.
        logs: Writes the log lines of requests, and the decision log.
        metrics: Counts, and shows what it and the node's other replicas have counted.
        recent: What viewers of the console are shown of single requests.
        loop_lag: How late the event loop is.
        inference_figures: What the Open Inference Protocol tells of each version.
        observers: Whom the replica's parts tell.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        replica_id: str,
        node_id: str,
        sampler: Sampler,
        observers: Sequence[Observer],
        authorizer: Authorizer,
    ) -> None:
        self.tracing = TraceObserver(replica_id=replica_id, node_id=node_id, sampler=sampler)
        self.logs = ReplicaLogs(settings, replica_id=replica_id)
        self.metrics = ReplicaMetrics(settings.metrics, replica_id=replica_id, node_id=node_id, authorizer=authorizer)
        self.recent = RecentActivity()
        self.loop_lag = LoopLag(on_lag=self.metrics.note_lag)
        self.inference_figures = InferenceFigures()
        own = (self.tracing, *self.metrics.observers, *self.logs.observers, self.recent, self.inference_figures)
        self.observers = Observers((*observers, *own))

    async def start(self, settings: Settings) -> None:
        """Opens what is written to; before the first request."""
        self.tracing.apply(settings.tracing)
        self.logs.start()
        await self.metrics.start()

    def work(
        self,
        snapshot: Callable[[], ReplicaSnapshot],
        *,
        loaded: Callable[[], Mapping[tuple[str, int], ServedModel]],
        open_streams: Mapping[str, int],
    ) -> list[Coroutine[Any, Any, None]]:
        """Returns what runs for as long as the replica serves.

        Args:
            snapshot: The replica's figures now.
            loaded: Versions in memory, by name and number.
            open_streams: Open streams, by method; kept up to date.
        """
        figures = self.metrics.run(snapshot, loaded=loaded, open_streams=open_streams, telling=self._telling)
        return [self.loop_lag.run(), figures]

    def reconfigure(self, settings: Settings) -> None:
        """Puts other live settings in force."""
        self.tracing.apply(settings.tracing)
        self.logs.reconfigure(settings)

    async def close(self) -> None:
        """Writes and sends what is left, for a short while. Idempotent."""
        for close in (self.tracing.close, self.metrics.close, self.logs.close):
            await asyncio.to_thread(close)

    def _telling(self) -> Telling:
        return telling_of(self.observers, self.tracing, self.logs.decisions)

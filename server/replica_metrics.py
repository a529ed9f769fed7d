"""The metrics of one replica: wires what counts, what writes figures now and then, and what is scraped."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from server.config.metrics_settings import MetricsSettings
from server.models.served_model import ServedModel
from server.observation.observer import Observer
from server.replica_figures import ReplicaFigures, Telling
from server.rpc.errors import CODES
from server.security.authorizer import Authorizer
from server.statistics.replica_snapshot import ReplicaSnapshot
from server.telemetry.device_figures import process_probe
from server.telemetry.instruments import Instruments
from server.telemetry.metric_folder import MetricFolder, sweep_folders
from server.telemetry.metrics import Exposition
from server.telemetry.request_metrics import RequestMetrics
from server.telemetry.scrape_port import Page, ScrapePort

_INTERVAL = 1.0

logger = logging.getLogger("tickserve")


class ReplicaMetrics:
    """Counts, writes and shows.

    Args:
        settings: What the operator wants of it.
        replica_id: Names the replica.
        authorizer: Lets scrapers in.
        node_id: Names the node among all that ever were, so that its replicas meet in a folder that no other start
            has; empty where there are no others to meet: then it counts for itself, unless the settings name a folder.

    Attributes:
        observers: Must be told of what has ended; empty where nobody would see it.
        page: Returns what is scraped; None where nothing is. Blocks.
    """

    def __init__(
        self, settings: MetricsSettings, *, replica_id: str, authorizer: Authorizer, node_id: str = ""
    ) -> None:
        self._settings = settings
        self._authorizer = authorizer
        self._node_id = node_id
        self._instruments = Instruments()
        self._figures = ReplicaFigures(self._instruments, replica_id)
        self._is_on = settings.enabled and (bool(node_id) or settings.directory is not None)
        self._requests = RequestMetrics(self._instruments, lambda reason: CODES[reason].name)
        self.observers: tuple[Observer, ...] = (self._requests,) if self._is_on else ()
        self.page: Page | None = None
        self._port: ScrapePort | None = None

    async def start(self) -> None:
        """Begins to count where others see it, and shows it. Where that is not possible the log says so, no more."""
        if not self._is_on:
            return
        try:
            folder = await asyncio.to_thread(self._open)
        except OSError as error:
            # Without figures the replica still answers, and that is what it is for.
            logger.error("metrics are off: %s; set metrics.directory to a folder that can be written", error)
            return
        self.page = Exposition(folder)
        if self._settings.port:
            self._port = ScrapePort(self._settings.host, self._settings.port, self.page, authorizer=self._authorizer)
            self._port.start()

    def note_lag(self, seconds: float) -> None:
        """Counts by how much the event loop was late."""
        self._figures.note_lag(seconds)

    async def run(
        self,
        snapshot: Callable[[], ReplicaSnapshot],
        *,
        loaded: Callable[[], Mapping[tuple[str, int], ServedModel]],
        open_streams: Mapping[str, int],
        telling: Callable[[], Telling],
    ) -> None:
        """Writes the figures every second, until it is cancelled; does nothing where nobody would see them.

        Args:
            snapshot: Returns the replica's figures.
            loaded: Returns the versions in memory.
            open_streams: How many streams are open, by method.
            telling: Returns how telemetry fares.
        """
        if self.page is None:
            return
        probe = await asyncio.to_thread(process_probe)
        while True:
            try:
                self._figures.write(snapshot(), loaded(), time.monotonic())
                self._figures.write_streams(open_streams)
                self._figures.write_telling(telling())
                self._figures.write_process(await asyncio.to_thread(probe.read))
                await asyncio.to_thread(self._instruments.stock_up)
            except Exception:
                logger.exception("the replica's figures were not written")
            await asyncio.sleep(_INTERVAL)

    def close(self) -> None:
        """Frees the port and leaves what was counted to the other replicas. Blocks for up to half a second."""
        if self._port is not None:
            self._port.close()
        self._instruments.close()

    def _open(self) -> MetricFolder:
        parent = self._settings.directory or Path(tempfile.gettempdir()) / f"tickserve-metrics-{os.geteuid()}"
        # The parent has a name that anybody may take first: it must be ours, too.
        MetricFolder(parent)
        folder = MetricFolder(parent / (self._node_id or "node"))
        sweep_folders(parent, kept=folder.path)
        self._instruments.open(folder)
        self._requests.prepare()
        # Where nobody scrapes, the dead leave their files: whoever begins clears up.
        folder.read()
        return folder

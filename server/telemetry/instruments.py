"""What one replica counts in: a segment for itself, and one for each version of a model that it holds.

Owns which segment a series lies in and how long; knows neither requests nor who reads.

Series are looked up on the event loop and files are not made there, so two segments are kept in store.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections import deque
from collections.abc import Callable, Collection

from server.telemetry.metric import Kind, Metric
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.metric_tally import encode
from server.telemetry.segment import Segment
from server.telemetry.series import Counter, Gauge, Histogram

Version = tuple[str, str]
"""A model's name and version."""

logger = logging.getLogger("tickserve")

# Requests that were under way when their version left memory end within this time.
_KEPT_FOR = 60.0
_STORE = 2


class Instruments:
    """Makes series and gives them up again. What is counted before it is opened is counted for nobody.

    Attributes:
        lock: Held while series are made or given up, and by whoever counts in other threads than the event loop's.
    """

    def __init__(self) -> None:
        self._folder: MetricFolder | None = None
        self._store: deque[Segment] = deque()
        self._segments: dict[Version | None, Segment | None] = {}
        self._series: dict[Version | None, dict[tuple[str, tuple[str, ...]], Counter | Gauge | Histogram]] = {}
        self._unloaded_since: dict[Version, float] = {}
        self._listeners: list[Callable[[Version], None]] = []
        self.lock = threading.RLock()

    def open(self, folder: MetricFolder) -> None:
        """Counts in a folder from now on. Blocks.

        Raises:
            OSError: Nothing can be made there.
        """
        with self.lock:
            self._folder = folder
            self._segments.clear()
            self._series.clear()
        self._store.append(folder.new_segment())
        self.stock_up()

    def stock_up(self) -> None:
        """Makes sure that there are segments in store for versions to come. Blocks; for one thread at a time.

        Raises:
            OSError: None can be made.
        """
        # The first one goes to what is about no version.
        while self._folder is not None and len(self._store) < _STORE + (None not in self._segments):
            self._store.append(self._folder.new_segment())

    def counter(self, metric: Metric, *labels: str) -> Counter:
        """Returns the counter of a metric for values of its labels; always the same one."""
        found = self._find(metric, labels)
        assert isinstance(found, Counter), metric.name
        return found

    def gauge(self, metric: Metric, *labels: str) -> Gauge:
        """Returns the gauge, likewise."""
        found = self._find(metric, labels)
        assert isinstance(found, Gauge), metric.name
        return found

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        """Returns the histogram, likewise."""
        found = self._find(metric, labels)
        assert isinstance(found, Histogram), metric.name
        return found

    def on_retired(self, listener: Callable[[Version], None]) -> None:
        """Has `listener` called, under the lock, with each version whose series are given up: it must forget them."""
        self._listeners.append(listener)

    def versions(self) -> set[Version]:
        """Returns the versions that there are series about."""
        return {version for version in self._series if version is not None}

    def retire_but(self, loaded: Collection[Version], now: float) -> None:
        """Gives up the series about versions that have not been loaded for a minute.

        Args:
            loaded: Versions in memory.
            now: Monotonic seconds.
        """
        with self.lock:
            for version in [version for version in self._segments if version is not None]:
                if version in loaded:
                    self._unloaded_since.pop(version, None)
                elif now - self._unloaded_since.setdefault(version, now) >= _KEPT_FOR:
                    self._retire(version)

    def close(self) -> None:
        """Gives everything up, for others to fold. What is counted from now on is lost."""
        with self.lock:
            for segment in (*self._segments.values(), *self._store):
                if segment is not None:
                    segment.close()

    def _retire(self, version: Version) -> None:
        del self._unloaded_since[version], self._series[version]
        for listener in self._listeners:
            listener(version)
        segment = self._segments.pop(version)
        if segment is not None:
            segment.close()

    def _find(self, metric: Metric, labels: tuple[str, ...]) -> Counter | Gauge | Histogram:
        version = metric.version_of(labels)
        with self.lock:
            known = self._series.setdefault(version, {})
            found = known.get((metric.name, labels))
            if found is None:
                found = known[metric.name, labels] = self._make(metric, labels, version)
            return found

    def _make(self, metric: Metric, labels: tuple[str, ...], version: Version | None) -> Counter | Gauge | Histogram:
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
        cells = self._cells(metric, labels, version)
        match metric.kind:
            case Kind.COUNTER:
                return Counter(cells)
            case Kind.GAUGE:
                return Gauge(cells)
            case Kind.HISTOGRAM:
                return Histogram(cells, metric.bounds)

    def _cells(self, metric: Metric, labels: tuple[str, ...], version: Version | None) -> memoryview[float]:
        try:
            if version not in self._segments:
                self._segments[version] = self._next_segment()
            segment = self._segments[version]
            if segment is not None:
                return segment.add(encode((metric.name, labels)), metric.cell_count)
        except OSError as error:
            # Requests matter more than figures of them: counted where nobody sees it.
            logger.error("%s is not counted: %s", metric.name, error)
            self._segments.setdefault(version, None)
        return memoryview(array("d", bytes(8 * metric.cell_count)))

    def _next_segment(self) -> Segment | None:
        """Returns one from the store, or makes one: so many versions at a time are worth a pause of the event loop."""
        if self._store:
            return self._store.popleft()
        return None if self._folder is None else self._folder.new_segment()

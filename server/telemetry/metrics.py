"""Writes what the node's replicas have counted as Prometheus reads it: the one file that imports prometheus_client.

Owns the text; knows neither who counted nor who asks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from server.telemetry.metric import Kind, Metric
from server.telemetry.metric_catalogue import METRICS
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.metric_tally import Key

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Series written in one go: about a tenth of a millisecond for which the interpreter is not given back.
_SERIES_AT_ONCE = 4
_PAUSE = 0.0002


class Exposition:
    """Renders a folder's figures.

    Args:
        folder: Of the node.
        pause: Called between pieces of work with seconds to sleep: this runs in a thread of a replica that serves,
            and the interpreter would hand over only every 5 ms by itself.
    """

    def __init__(self, folder: MetricFolder, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._pause = pause

    def __call__(self) -> tuple[bytes, str]:
        """Returns the page and its content type. Blocks for milliseconds: not for an event loop.

        Raises:
            TimeoutError: Others hold the folder for too long.
            OSError: It cannot be read.
        """
        return b"".join(self._pieces(self._folder.read())), CONTENT_TYPE

    def _pieces(self, values: Mapping[Key, list[float]]) -> Iterator[bytes]:
        by_name: dict[str, list[tuple[tuple[str, ...], list[float]]]] = {}
        for (name, labels), cells in sorted(values.items()):
            by_name.setdefault(name, []).append((labels, cells))
        for metric in METRICS:
            series = by_name.get(metric.name, [])
            for start in range(0, len(series) or 1, _SERIES_AT_ONCE):
                family = _family(metric)
                for labels, cells in series[start : start + _SERIES_AT_ONCE]:
                    _add(family, labels, cells, metric)
                yield _text(family, first=start == 0)
                self._pause(_PAUSE)


class _One(Collector):
    """A single family, as the library's writer wants to be given it."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


def _text(family: Family, *, first: bool) -> bytes:
    """Returns the lines of a family; its head, which is two lines, only once for each."""
    text = generate_latest(_One(family))
    return text if first else text.split(b"\n", 2)[2]


def _add(family: Family, labels: tuple[str, ...], cells: list[float], metric: Metric) -> None:
    names = dict(zip(metric.labels, labels, strict=True))
    if metric.kind is not Kind.HISTOGRAM:
        family.add_sample(metric.name, names, cells[0])
        return
    counts = list(accumulate(cells[1:]))
    for bound, count in zip((*metric.bounds, math.inf), counts, strict=True):
        family.add_sample(f"{metric.name}_bucket", names | {"le": "+Inf" if bound == math.inf else repr(bound)}, count)
    # The count is that of the buckets, so the two agree whenever it is read.
    family.add_sample(f"{metric.name}_count", names, counts[-1])
    family.add_sample(f"{metric.name}_sum", names, cells[0])


def _family(metric: Metric) -> Family:
    # The library names a counter's family without the suffix that its samples have.
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    return Family(name, metric.help, metric.kind.value)

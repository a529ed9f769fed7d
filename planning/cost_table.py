"""Owns what a batch costs: durations by batch size, their noise, the fixed costs around them. Must not draw or run.

A table is a JSON file, so that the live benchmark can write what it measured and the simulator reads it::

    {
      "source": "bench-overload, 2026-11-21, OpenVINO bf16",   where the figures come from, one line
      "seconds_by_batch_size": {"1": 0.0030, "8": 0.0136},      medians of the engine call, in seconds
      "jitter": 0.08,                sigma of the lognormal factor on each call; 0 for none
      "stall_probability": 0.001,    part of the calls that stall
      "stall_seconds": 0.02,         mean of the exponential time a stall adds
      "dispatch_seconds": 0.0003,    from choosing a batch until the engine runs it
      "transport_seconds": 0.001,    per request, outside the scheduler: client to queue and answer to client together
      "transport_jitter": 0.0        sigma of the lognormal factor on it; 0 for none
    }

Only the first two keys are required.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOISE = (
    "jitter",
    "stall_probability",
    "stall_seconds",
    "dispatch_seconds",
    "transport_seconds",
    "transport_jitter",
)


@dataclass(frozen=True, kw_only=True)
class CostTable:
    """Figures of one engine on one machine; all times in seconds, meanings in the module's docstring."""

    source: str
    seconds_by_batch_size: Mapping[int, float]
    jitter: float = 0.08
    stall_probability: float = 0.001
    stall_seconds: float = 0.02
    dispatch_seconds: float = 0.0003
    transport_seconds: float = 0.001
    transport_jitter: float = 0.0

    def __post_init__(self) -> None:
        table = dict(sorted(self.seconds_by_batch_size.items()))
        if not table or min(table) < 1:
            raise ValueError("seconds_by_batch_size needs at least one batch size, all of them at least 1")
        values = list(table.values())
        if not all(0.0 < value < math.inf for value in values) or values != sorted(values):
            raise ValueError("seconds_by_batch_size must be positive and must not fall as the batch grows")
        for name in _NOISE:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number >= 0")
        object.__setattr__(self, "seconds_by_batch_size", table)

    def duration(self, size: int) -> float:
        """Return the median duration of a batch: between measured sizes a line, beyond them proportional."""
        sizes = list(self.seconds_by_batch_size)
        seconds = list(self.seconds_by_batch_size.values())
        if size <= sizes[0]:
            return seconds[0]
        if size >= sizes[-1]:
            return seconds[-1] * size / sizes[-1]
        right = bisect_left(sizes, size)
        part = (size - sizes[right - 1]) / (sizes[right] - sizes[right - 1])
        return seconds[right - 1] + part * (seconds[right] - seconds[right - 1])

    def capacity(self, max_batch_size: int) -> float:
        """Return the most requests a second the engine can answer, at the best batch size within the limit."""
        return max(size / (self.dispatch_seconds + self.duration(size)) for size in range(1, max_batch_size + 1))

    def as_dict(self) -> dict[str, Any]:
        """Return the table as it stands in a file."""
        return {
            "source": self.source,
            "seconds_by_batch_size": {str(size): value for size, value in self.seconds_by_batch_size.items()},
            "jitter": self.jitter,
            "stall_probability": self.stall_probability,
            "stall_seconds": self.stall_seconds,
            "dispatch_seconds": self.dispatch_seconds,
            "transport_seconds": self.transport_seconds,
            "transport_jitter": self.transport_jitter,
        }


def read_cost_table(path: Path) -> CostTable:
    """Read a table from a JSON file, refusing keys that mean nothing."""
    document = json.loads(path.read_text(encoding="utf-8"))
    sizes = {int(size): float(value) for size, value in document.pop("seconds_by_batch_size").items()}
    return CostTable(seconds_by_batch_size=sizes, **document)


#: One core left for the engine while the other serves and sends: the figures of the design's section 9.
SHARED_CORE = CostTable(
    source="design section 9: one of two shared cores, OpenVINO bf16",
    seconds_by_batch_size={1: 0.0030, 2: 0.0048, 4: 0.0078, 8: 0.0140, 16: 0.0264, 32: 0.0512, 64: 0.1005},
)

#: Both cores for the engine and nothing else running.
QUIET = CostTable(
    source="bare engine, two quiet cores, OpenVINO bf16",
    seconds_by_batch_size={1: 0.0023, 8: 0.0059, 64: 0.0266},
)

"""Named sizes of a replica: CPUs, share of a GPU, memory. Owns the figures of the original design."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ResourcesName = Literal["", "small", "medium", "large"]

GIBIBYTE = 1024**3
# A batch of so many windows, or more, has a GPU to itself.
_WHOLE_GPU_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaResources:
    """What Ray sets aside for one replica.

    Attributes:
        cpus: CPUs.
        gpus: Share of a GPU; asked for only where the engine is cuda.
        memory: Bytes.
    """

    cpus: float
    gpus: float
    memory: int


RESOURCES: Mapping[str, ReplicaResources] = {
    "small": ReplicaResources(cpus=1, gpus=0.25, memory=1 * GIBIBYTE),
    "medium": ReplicaResources(cpus=2, gpus=0.5, memory=2 * GIBIBYTE),
    "large": ReplicaResources(cpus=4, gpus=1.0, memory=4 * GIBIBYTE),
}


def gpu_share(max_batch_size: int) -> float:
    """Returns the share of a GPU that batches of this size are given where no size of a replica says it; 0.01 to 1."""
    # A half goes up, as in the Helm chart's arithmetic; Python's own rounding would take it to the even digit.
    return max(0.01, min(1.0, math.floor(100 * max_batch_size / _WHOLE_GPU_BATCH + 0.5) / 100))

"""Owns the scheduler's settings and their validity. Must not know where they are read from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from batching.priority import PriorityClass


def _default_queue_sizes() -> Mapping[PriorityClass, int]:
    return {PriorityClass.REAL_TIME: 1024, PriorityClass.STANDARD: 4096, PriorityClass.BACKGROUND: 4096}


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """What an operator may set; every field can be changed while the scheduler runs.

    Attributes:
        max_batch_size: The most requests one engine call gets.
        max_queue_delay: How long, in seconds, a batch that is not full may be held back for company. 0 never idles.
        max_queue_size: The most requests that wait, by class (law 10).
        max_total_queue_size: The most requests that wait in all classes together (law 10).
        fairness_quantum: How many requests a caller may place in one round of its class (see ``fair_share``).
        engine_hang_timeout: After how many seconds without an answer an engine call counts as hung (law 11).
    """

    max_batch_size: int = 64
    max_queue_delay: float = 0.0
    max_queue_size: Mapping[PriorityClass, int] = field(default_factory=_default_queue_sizes)
    max_total_queue_size: int = 8192
    fairness_quantum: int = 64
    engine_hang_timeout: float = 30.0

    def __post_init__(self) -> None:
        _require_count("max_batch_size", self.max_batch_size)
        _require_count("max_total_queue_size", self.max_total_queue_size)
        _require_count("fairness_quantum", self.fairness_quantum)
        if not 0.0 <= self.max_queue_delay < math.inf:
            raise ValueError(f"max_queue_delay is {self.max_queue_delay}; give seconds >= 0, 0 to never hold back")
        if not 0.0 < self.engine_hang_timeout < math.inf:
            raise ValueError(
                f"engine_hang_timeout is {self.engine_hang_timeout}; give seconds > 0, well above the longest batch"
            )
        for priority in PriorityClass:
            if priority not in self.max_queue_size:
                raise ValueError(f"max_queue_size lacks {priority.name}; give a limit for every class")
            _require_count(f"max_queue_size[{priority.name}]", self.max_queue_size[priority])
        # A private copy: what the operator handed in must not change a validated value afterwards.
        object.__setattr__(self, "max_queue_size", {p: self.max_queue_size[p] for p in PriorityClass})


def _require_count(name: str, value: int) -> None:
    if type(value) is not int or value < 1:  # bool is an int, too, and never meant
        raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")

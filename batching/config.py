"""Owns the scheduler's settings and their validity. Must not know where they are read from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from batching.priority import PriorityClass

#: How many shadows wait at most unless the settings say otherwise: what waits longer is worth less.
DEFAULT_SHADOW_QUEUE_SIZE = 256


def _default_queue_sizes() -> Mapping[PriorityClass, int]:
    return {PriorityClass.REAL_TIME: 1024, PriorityClass.STANDARD: 4096, PriorityClass.BACKGROUND: 4096}


def _default_waits() -> Mapping[PriorityClass, float]:
    return {PriorityClass.REAL_TIME: 0.1, PriorityClass.STANDARD: 0.5, PriorityClass.BACKGROUND: 2.0}


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """What an operator may set; every field can be changed while the scheduler runs.

    Why ``max_batch_duration`` is 12 ms: nothing stops a batch once it runs, so an urgent request that arrives just
    after one has begun waits for all of it, and then for its own. To answer within 50 ms, of which 2 are the reply's
    margin, the two of them share what the way to the queue and back leaves. Beside callers that saturate a machine of
    two cores, that way takes 8 ms in the median and more in the tail, for event loops and proxy wait for
    a core (benchmarks/overload). Two batches of 12 ms, each half as long again, are 36.

    Attributes:
        max_batch_size: The most requests one engine call gets.
        max_batch_duration: The longest a batch of more than one may be predicted (median) to take, in seconds: the
            longest that an urgent arrival is blocked (law 6). Batches of shadows are shorter, see ``batch_policy``.
        max_queue_delay: How long, in seconds, a batch that is not full may be held back for company. 0 never idles.
        max_queue_size: The most requests that wait, by class (law 10); shadows may be left out, and are 256 then.
        max_total_queue_size: The most requests that wait in all classes together (law 10).
        fairness_quantum: How many requests a caller may place in one round of its class (see ``fair_share``).
        max_wait: After how many seconds in the queue a request is promoted, by class; ``inf`` for never (law 5), which
            is all that shadows can have: they may be left out.
        promotion_share: The part of all places in batches that promoted requests are entitled to (law 5).
        max_promoted: The most requests that are promoted at once (law 5).
        adaptive: Whether predictions and deadlines bound what a batch takes (law 6). If not, only ``max_batch_size``.
        admission: Whether requests are refused at arrival on a prediction (law 8).
        cost_quantile: The upper quantile of durations that deadlines are tested against.
        completion_margin: Seconds between the engine's answer and the caller's, kept free before every deadline.
        engine_hang_timeout: After how many seconds without an answer an engine call counts as hung (law 11).
    """

    max_batch_size: int = 64
    max_batch_duration: float = 0.012
    max_queue_delay: float = 0.0
    max_queue_size: Mapping[PriorityClass, int] = field(default_factory=_default_queue_sizes)
    max_total_queue_size: int = 8192
    fairness_quantum: int = 64
    max_wait: Mapping[PriorityClass, float] = field(default_factory=_default_waits)
    promotion_share: float = 0.1
    max_promoted: int = 64
    adaptive: bool = True
    admission: bool = True
    cost_quantile: float = 0.95
    completion_margin: float = 0.0005
    engine_hang_timeout: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_total_queue_size", "fairness_quantum", "max_promoted"):
            _require_count(name, getattr(self, name))
        for name in ("adaptive", "admission"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give true or false")
        if not self.max_batch_duration > 0.0:
            raise ValueError(f"max_batch_duration is {self.max_batch_duration}; give seconds > 0, inf for no bound")
        for name in ("max_queue_delay", "completion_margin"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give seconds >= 0, 0 for none")
        if not 0.0 < self.promotion_share < 1.0:
            raise ValueError(f"promotion_share is {self.promotion_share}; give a part above 0 and below 1, such as 0.1")
        if not 0.5 <= self.cost_quantile < 1.0:
            raise ValueError(f"cost_quantile is {self.cost_quantile}; give a quantile of at least 0.5 and below 1")
        if not 0.0 < self.engine_hang_timeout < math.inf:
            raise ValueError(
                f"engine_hang_timeout is {self.engine_hang_timeout}; give seconds > 0, well above the longest batch"
            )
        # Private copies: what the operator handed in must not change a validated value afterwards.
        for name, shadow in (("max_queue_size", DEFAULT_SHADOW_QUEUE_SIZE), ("max_wait", math.inf)):
            given = {PriorityClass.SHADOW: shadow, **getattr(self, name)}
            for priority in PriorityClass:
                if priority not in given:
                    raise ValueError(f"{name} lacks {priority.name}; give a value for every class")
            object.__setattr__(self, name, {priority: given[priority] for priority in PriorityClass})
        for priority in PriorityClass:
            _require_count(f"max_queue_size[{priority.name}]", self.max_queue_size[priority])
            if not (wait := self.max_wait[priority]) > 0.0:
                raise ValueError(f"max_wait[{priority.name}] is {wait}; give seconds > 0, inf for never")
        if (wait := self.max_wait[PriorityClass.SHADOW]) != math.inf:
            raise ValueError(f"max_wait[SHADOW] is {wait}; give inf or nothing, for shadows are never promoted")


def _require_count(name: str, value: int) -> None:
    if type(value) is not int or value < 1:  # bool is an int, too, and never meant
        raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")

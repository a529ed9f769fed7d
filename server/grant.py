"""What an authenticated caller may do beyond calling at all: how urgently, how often, on whose windows.

Owns the value that travels with a `Call` and the one decision that needs nothing else. Knows neither keys nor how they
are stored; how often is enforced where tokens are counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from batching import PriorityClass
from server.refusal import Reason, Refusal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How often requests of one class may come.

    Attributes:
        rate: Requests a second in the long run, > 0.
        burst: Requests that may come at once after a pause, at least 1.

    Raises:
        ValueError: A value is out of its range.
    """

    rate: float
    burst: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError("rate must be > 0 and finite")
        if not 1 <= self.burst < math.inf:
            raise ValueError("burst must be at least 1 and finite")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The rights of one caller.

    Attributes:
        key_id: The API key's id; names the caller in fairness, in what is owned and in logs.
        owner: Whose windows it writes and reads: that of the key's setting, or its own id.
        max_priority: The most urgent class that it may ask for.
        rate_limits: Its own limits by class, of the whole deployment; a class without one has the settings' default.
        max_streams: Most streams that it may have open, in the whole deployment; 0: the settings' default.
    """

    key_id: str
    owner: str
    max_priority: PriorityClass = PriorityClass.REAL_TIME
    rate_limits: Mapping[PriorityClass, RateLimit] = dataclasses.field(default_factory=dict)
    max_streams: int = 0

    def check_priority(self, priority: PriorityClass) -> None:
        """Lets a class pass that is no more urgent than the caller may ask for.

        Raises:
            Refusal: PRIORITY_NOT_ALLOWED.
        """
        if priority < self.max_priority:
            highest = self.max_priority.name
            raise Refusal(
                Reason.PRIORITY_NOT_ALLOWED,
                f"This API key may ask for PRIORITY_{highest} at most; send that, or ask for another key.",
                field="priority",
                metadata={"priority": priority.name, "highest": highest},
            )

"""What the callers of one row ask, as a value that fits through a pipe."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Unary calls of one class.

    Attributes:
        priority: The class.
        rate: Calls a second, on a schedule that no answer can delay.
        timeout: Seconds until the caller's deadline; the client library tries again within it.
    """

    priority: str
    rate: float
    timeout: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallerPlan:
    """All traffic of one row.

    Attributes:
        target: The service, `host:port`.
        unary: By class.
        clients: Clients of the library that unary calls take turns on, a connection each.
        symbols: Numbers of the symbols that are streamed.
        streams: Tick streams that share them, on a client each.
        tick_interval: Seconds between two ticks of a symbol.
        bar_interval: Of the model, seconds.
        first_seed: Of the random windows; each call has one of its own.
        outstanding: 0: open loop. Above: as many standard calls are kept under way, to find out how many go through.
    """

    target: str
    unary: tuple[Asked, ...]
    clients: int = 4
    symbols: tuple[int, ...] = ()
    streams: int = 1
    tick_interval: float = 0.25
    bar_interval: float
    first_seed: int
    outstanding: int = 0

    def to_json(self) -> str:
        """Returns one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> CallerPlan:
        """Reads what `to_json` gave."""
        values: dict[str, Any] = json.loads(line)
        values["unary"] = tuple(Asked(**each) for each in values["unary"])
        values["symbols"] = tuple(values["symbols"])
        return cls(**values)

    def scaled(self, share: float) -> CallerPlan:
        """Returns the plan with all unary rates multiplied."""
        unary = tuple(dataclasses.replace(each, rate=each.rate * share) for each in self.unary)
        return dataclasses.replace(self, unary=unary)


MIXED = (
    Asked(priority="real_time", rate=50.0, timeout=0.2),
    Asked(priority="standard", rate=20.0, timeout=0.5),
    Asked(priority="background", rate=20.0, timeout=2.0),
)

"""What a tick generator does: plain values that travel as JSON between the harness and the generator's process."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from benchmarks.load.plan import ExpectedModel


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One generator's run: it opens its streams, fills windows that are not full, then sends.

    Attributes:
        name: Label in the results.
        target: Address of the server, `host:port`; loopback.
        bars: A file of real bars.
        model: Named by every answer.
        first_symbol: Number of the first symbol.
        symbols: How many, spread evenly over the streams.
        streams: How many; at most as many as symbols.
        connections: HTTP/2 connections that carry them.
        history: Bars that a window is filled with.
        rate: Open loop: ticks per second, spread evenly over the symbols; 0: closed loop, one tick in flight a symbol.
        conflate: Whether a newer due prediction of a symbol replaces an older one.
        valid_duration: Seconds for which a prediction is of use; 0: the server's default.
        warm_up: Seconds of traffic before the measured window.
        duration: Seconds of the measured window; 0: no traffic, the streams stay idle until the start is told.
        exact_sample: Symbols whose windows are compared with the offline ones at the end.
        durable: Whether the server confirms what is stored.
    """

    name: str
    target: str
    bars: str
    model: ExpectedModel
    first_symbol: int = 0
    symbols: int
    streams: int
    connections: int = 1
    history: int = 200
    rate: float = 0.0
    conflate: bool = False
    valid_duration: float = 0.0
    warm_up: float = 0.0
    duration: float = 0.0
    exact_sample: int = 0
    durable: bool = False

    def __post_init__(self) -> None:
        """Refuses a plan that makes no sense or reaches beyond this machine.

        Raises:
            ValueError: The message names the field.
        """
        if self.target.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
            raise ValueError(f"target {self.target} is not on this machine")
        if not 1 <= self.connections <= self.streams <= self.symbols:
            raise ValueError(f"{self.name}: at least one symbol a stream, and one stream a connection")
        if self.conflate and not self.rate:
            raise ValueError(f"{self.name}: conflate: with one tick in flight there is nothing to replace")
        if self.exact_sample > self.symbols:
            raise ValueError(f"{self.name}: exact_sample: there are only {self.symbols} symbols")

    @property
    def numbers(self) -> range:
        """Numbers of the symbols."""
        return range(self.first_symbol, self.first_symbol + self.symbols)

    def to_json(self) -> str:
        """Returns the plan on one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> StreamPlan:
        """Reads a plan.

        Raises:
            ValueError: It contradicts itself.
        """
        values: dict[str, Any] = json.loads(text)
        values["model"] = ExpectedModel(**values["model"])
        return cls(**values)

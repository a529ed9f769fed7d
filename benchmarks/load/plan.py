"""What a load generator sends: plain values that travel as JSON between the harness and the generator's process."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

Priority = Literal["real_time", "standard", "background"]
Arrivals = Literal["even", "poisson"]
Speech = Literal["tickserve", "inference"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of request within a plan: closed loop with `callers`, or open loop with `rate` or bursts.

    Attributes:
        name: Label in the results.
        priority: Class that the requests name.
        deadline: Seconds after the scheduled send within which an answer counts.
        rpc_timeout: Seconds after which a request without answer is given up; above `deadline`, so that late answers
            and typed refusals are seen and told apart.
        reply_margin: Seconds of the deadline that are kept for the answer's way back: the message's timeout is what is
            left of the deadline at sending, less this.
        callers: Closed loop: how many send one request after another.
        think_time: Closed loop: seconds a caller waits between an answer and its next request.
        rate: Open loop: requests per second.
        arrivals: Open loop: evenly spaced, or a Poisson process.
        burst_interval: Open loop: seconds between bursts; 0: none.
        burst_size: Requests of one burst, all due at once.
        cancel_share: Share of requests that the client cancels; unary only.
        cancel_after: Seconds from sending to cancelling.
        streams: StreamPredict streams that carry the requests; 0: unary Predict calls.
        connections: HTTP/2 connections that carry them.
        version: Of the model, that the requests name; 0: none, and the answers name the plan's.
    """

    name: str
    priority: Priority
    deadline: float
    rpc_timeout: float
    reply_margin: float = 0.002
    callers: int = 0
    think_time: float = 0.0
    rate: float = 0.0
    arrivals: Arrivals = "even"
    burst_interval: float = 0.0
    burst_size: int = 0
    cancel_share: float = 0.0
    cancel_after: float = 0.0
    streams: int = 0
    connections: int = 1
    version: int = 0

    def __post_init__(self) -> None:
        """Refuses contradictions.

        Raises:
            ValueError: The message names the field.
        """
        if self.is_open == (self.callers > 0):
            raise ValueError(f"{self.name}: either callers (closed loop), or rate or bursts (open loop)")
        if (self.burst_interval > 0) != (self.burst_size > 0):
            raise ValueError(f"{self.name}: burst_interval and burst_size go together")
        if self.rpc_timeout < self.deadline:
            raise ValueError(f"{self.name}: rpc_timeout below deadline would hide late answers")
        if not 0 <= self.cancel_share <= 1:
            raise ValueError(f"{self.name}: cancel_share is a share, 0 to 1")
        if self.streams and self.cancel_share:
            raise ValueError(f"{self.name}: cancel_share: single items of a stream cannot be cancelled")
        if self.connections < 1:
            raise ValueError(f"{self.name}: connections must be at least 1")

    @property
    def is_open(self) -> bool:
        """Whether requests are sent on a schedule, whatever the answers do."""
        return self.rate > 0 or self.burst_size > 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedModel:
    """The model that every answer must name; an empty sha256 is not checked."""

    name: str
    version: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one generator process does.

    Attributes:
        target: Address of the server, `host:port`; loopback.
        traffic: Kinds of requests, sent at the same time.
        warm_up: Seconds of traffic before the measured window.
        duration: Seconds of the measured window.
        windows: A .npy file with float32 [n, features, steps] that requests are made of.
        first_window: Number of the first request's window; two plans with disjoint ranges send no window twice.
        feature_schema: Named in every request.
        model: Named by every answer.
        speech: tickserve's protocol, or the Open Inference Protocol as Triton speaks it.
        seed: Of random arrivals and cancellations.
        niceness: Of the generator's process, where the system allows it. A caller with a deadline runs on a machine of
            its own; here it would wait for the server's threads to leave a core, and the server would be blamed.
    """

    target: str
    traffic: tuple[Traffic, ...]
    warm_up: float
    duration: float
    windows: str
    first_window: int
    feature_schema: str
    model: ExpectedModel
    speech: Speech = "tickserve"
    seed: int = 0
    niceness: int = 0

    def __post_init__(self) -> None:
        """Refuses a plan that measures nothing or reaches beyond this machine.

        Raises:
            ValueError: The message names the field.
        """
        if self.duration <= 0 or self.warm_up < 0:
            raise ValueError("duration must be above 0 and warm_up at least 0")
        if self.target.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
            raise ValueError(f"target {self.target} is not on this machine")

    def to_json(self) -> str:
        """Returns the plan on one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Reads a plan.

        Raises:
            ValueError: It contradicts itself.
        """
        values: dict[str, Any] = json.loads(text)
        values["traffic"] = tuple(Traffic(**item) for item in values["traffic"])
        values["model"] = ExpectedModel(**values["model"])
        return cls(**values)

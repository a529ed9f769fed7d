"""Owns what became of every request of one run. Must not decide anything.

Requests are rows, numbered in no particular order; columns are plain lists, since the event loop touches single cells.
All moments are seconds of the virtual clock, as seen at the server's queue.
"""

import math

import numpy as np

from batching import PriorityClass
from planning.traffic import Stream, Traffic

#: Outcomes every policy knows; a policy may use further words of its own.
ANSWERED = "answered"
ABANDONED = "abandoned"  # the client hung up or cancelled before the request was run
QUEUE_FULL = "QueueFullError"


class Ledger:
    """The columns.

    Attributes:
        arrival: When it reached the queue.
        stream: Index of its stream.
        caller: Number of its caller within the stream.
        deadline: What the server is told to keep: arrival + timeout - the reply margin.
        useful_until: An answer that leaves the engine later reaches nobody in time.
        gone_at: From when on the server knows that nobody waits; ``inf`` if the client waits whatever comes.
        cancelled: Whether the caller means to give it up.
        chosen_at: When its batch was chosen; NaN if never.
        ended_at: When it ended; NaN while it has not.
        outcome: How it ended; empty while it has not.
    """

    def __init__(self, traffic: Traffic, *, transport: float, reply_margin: float) -> None:
        streams = traffic.streams
        self.streams = streams
        self.priorities = [stream.priority for stream in streams]
        self.open_count = len(traffic.sent_at)
        self._transport = transport
        self._reply_margin = reply_margin
        timeout = np.array([stream.timeout for stream in streams])[traffic.stream_of]
        patience = np.array([math.inf if stream.patient else stream.timeout for stream in streams])[traffic.stream_of]
        arrival = traffic.sent_at
        self.arrival: list[float] = arrival.tolist()
        self.stream: list[int] = traffic.stream_of.tolist()
        self.caller: list[int] = traffic.caller_of.tolist()
        self.deadline: list[float] = (arrival + timeout - reply_margin).tolist()
        self.useful_until: list[float] = (arrival + np.minimum(timeout - transport, traffic.cancel_after)).tolist()
        self.gone_at: list[float] = (arrival + np.minimum(patience, traffic.cancel_after)).tolist()
        self.cancelled: list[bool] = np.isfinite(traffic.cancel_after).tolist()
        self.chosen_at: list[float] = [math.nan] * self.open_count
        self.ended_at: list[float] = [math.nan] * self.open_count
        self.outcome: list[str] = [""] * self.open_count
        self.ended_count = 0
        # Closed-loop requests that have ended since the simulator last looked, with the wait their refusals ask for.
        self.closed_ended: list[tuple[int, float]] = []

    def __len__(self) -> int:
        """Return how many requests there are."""
        return len(self.arrival)

    def add(self, stream: int, caller: int, now: float) -> int:
        """Add a request of a closed-loop caller and return its row."""
        kind = self.streams[stream]
        self.arrival.append(now)
        self.stream.append(stream)
        self.caller.append(caller)
        self.deadline.append(now + kind.timeout - self._reply_margin)
        self.useful_until.append(now + kind.timeout - self._transport)
        self.gone_at.append(math.inf if kind.patient else now + kind.timeout)
        self.cancelled.append(False)
        self.chosen_at.append(math.nan)
        self.ended_at.append(math.nan)
        self.outcome.append("")
        return len(self.arrival) - 1

    def end(self, row: int, outcome: str, now: float, retry_after: float = 0.0) -> None:
        """Write down how a request ended; it does so once."""
        if self.outcome[row]:
            raise RuntimeError(f"request {row} ended twice: {self.outcome[row]}, then {outcome}")
        self.outcome[row] = outcome
        self.ended_at[row] = now
        self.ended_count += 1
        if row >= self.open_count:
            self.closed_ended.append((row, retry_after))

    def priority(self, row: int) -> PriorityClass:
        """Return the class of a request."""
        return self.priorities[self.stream[row]]

    def stream_of(self, row: int) -> Stream:
        """Return the stream of a request."""
        return self.streams[self.stream[row]]

"""What a replica writes down of its requests: lines in the log and, where it is on, the decision log.

Owns their wiring and their life; what they write is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from server.config.settings import Settings
from server.observation.observer import Observer
from server.telemetry.decision_log import DecisionLog, decision_log
from server.telemetry.request_log import RequestLog


class ReplicaLogs:
    """A replica's logs of requests.

    Args:
        settings: The server's.
        replica_id: Names the decision log's files.

    Attributes:
        requests: Refusals in the log.
        decisions: The decision log; None where it is off.
        observers: What must hear of requests.
        gate: Entered while a request is computed; refuses it where its record is required and could not be kept.
    """

    def __init__(self, settings: Settings, *, replica_id: str) -> None:
        self.requests = RequestLog(settings.log.refusal_interval)
        self.decisions: DecisionLog | None = decision_log(settings.decisions, replica_id=replica_id)
        self.observers: tuple[Observer, ...] = (self.requests,)
        self.gate: Callable[[], AbstractContextManager[object]] = nullcontext
        if self.decisions is not None:
            self.observers += (self.decisions,)
            self.gate = self.decisions.gate

    def start(self) -> None:
        """Begins to write."""
        if self.decisions is not None:
            self.decisions.start()

    def reconfigure(self, settings: Settings) -> None:
        """Puts other live settings in force."""
        self.requests.change_interval(settings.log.refusal_interval)

    def close(self) -> None:
        """Writes what waits, for a bounded time. Blocks. Idempotent."""
        self.requests.close()
        if self.decisions is not None:
            self.decisions.close()

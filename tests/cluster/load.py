"""Unary callers, each through one node's own port, who try nothing twice and write everything down."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.registry import real_windows
from tickserve import Client, TickserveError, Window

DEADLINE = 20.0
# Between two calls of one caller: what is counted is failures, on two cores that the cluster needs.
_PAUSE = 0.02


@dataclass(frozen=True)
class Outcome:
    """The end of one call.

    Attributes:
        began: When it was made, seconds of the monotonic clock.
        took: Seconds until its end.
        replica_id: Who answered; empty where nobody did.
        reason: Why nobody did.
    """

    began: float
    took: float
    replica_id: str = ""
    reason: str = ""


@dataclass
class Calls:
    """What became of the calls, by the name of who made them."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def answered(self, name: str) -> int:
        """Returns how many calls of a caller were answered so far."""
        return sum(1 for one in self.outcomes[name] if one.replica_id)

    def failures(self, name: str) -> dict[str, int]:
        """Returns how many of a caller's calls failed, by reason."""
        return dict(Counter(one.reason for one in self.outcomes[name] if not one.replica_id))

    def answerers(self, name: str, *, since: float = 0.0) -> set[str]:
        """Returns who answered a caller's calls that began since then."""
        return {one.replica_id for one in self.outcomes[name] if one.replica_id and one.began >= since}

    def figures(self) -> dict[str, Any]:
        """Returns the figures of all callers."""
        return {
            name: {
                "sent": len(outcomes),
                "answered": self.answered(name),
                "failed": self.failures(name),
                "slowest_s": round(max((one.took for one in outcomes), default=0.0), 2),
                "longest_without_answer_s": round(_longest_gap(outcomes), 2),
            }
            for name, outcomes in self.outcomes.items()
        }


def _longest_gap(outcomes: list[Outcome]) -> float:
    ends = sorted(one.began + one.took for one in outcomes if one.replica_id)
    return max((later - earlier for earlier, later in itertools.pairwise(ends)), default=0.0)


@contextmanager
def calling(targets: Mapping[str, str]) -> Iterator[Calls]:
    """Calls while the context is entered: one caller for each target, one call after another."""
    calls = Calls({name: [] for name in targets})
    stop = threading.Event()
    window = Window.from_array(real_windows()[0])

    def call(name: str, target: str) -> None:
        with Client(target, default_timeout=DEADLINE, retry=None) as client:
            while not stop.wait(_PAUSE):
                began = time.monotonic()
                replica_id, reason = "", ""
                try:
                    replica_id = client.predict(window, bypass_cache=True).execution.replica_id
                except TickserveError as error:
                    reason = error.reason or f"{type(error).__name__} {error.code.name}"
                calls.outcomes[name].append(
                    Outcome(began=began, took=time.monotonic() - began, replica_id=replica_id, reason=reason)
                )

    threads = [threading.Thread(target=call, args=item) for item in targets.items()]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        stop.set()
        for thread in threads:
            thread.join()

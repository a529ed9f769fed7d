"""The scenarios: what changes while the service is called, and how often."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.outlier.callers import Callers
from benchmarks.outlier.figures import summarise
from benchmarks.outlier.stage import Stage, stage
from tickserve import RetryPolicy

_CHANNELS = 4
_CALLERS = 2
_TIMEOUT = 10.0
# Before the first change, and after each: what a change does to calls may show late.
_QUIET = 4.0
_STEADY = 20.0
UPDATE, LIVE = "update", "live"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens to a service while it is called.

    Attributes:
        name: In the results.
        title: In the report.
        replicas: At first.
        cpus: Of each replica; 0: the machine's, shared evenly, so that another number of replicas needs new ones.
        steps: Numbers of replicas, `UPDATE` or `LIVE`, one after the other; none: nothing changes.
        retries: Whether the client tries again.
    """

    name: str
    title: str
    replicas: int = 2
    cpus: float = 1
    steps: tuple[int | str, ...] = ()
    retries: bool = False

    @property
    def renews(self) -> bool:
        """Whether each step replaces every replica."""
        return not self.cpus


_SCALES = (1, 2, 1, 2, 1)
SCENARIOS = (
    Scenario(name="steady", title="nothing changes"),
    Scenario(name="scale", title="2, 1, 2, 1, 2, 1 replicas", steps=_SCALES),
    Scenario(name="scale_default", title="2, 1, 2 replicas with shared CPUs: all are new", cpus=0, steps=(1, 2)),
    Scenario(name="live", title="two replicas, four changes of live settings", steps=(LIVE,) * 4),
    Scenario(name="update", title="two replicas, new settings", steps=(UPDATE, UPDATE)),
    Scenario(name="update_retries", title="the same, client's retries on", steps=(UPDATE, UPDATE), retries=True),
    Scenario(name="update_alone", title="one replica, new settings", replicas=1, steps=(UPDATE, UPDATE)),
)


def run(scenario: Scenario, *, source: Path) -> dict[str, Any]:
    """Plays a scenario and returns its figures.

    Args:
        scenario: Which.
        source: The checkout that the service is served from.

    Raises:
        benchmarks.peers.target.TargetError: The service did not start, or did not change as asked.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        stage(Path(folder), replicas=scenario.replicas, cpus=scenario.cpus, source=source) as on,
    ):
        callers = Callers(
            on.server.target.address,
            on.windows,
            channels=_CHANNELS,
            callers=_CALLERS,
            timeout=_TIMEOUT,
            retry=RetryPolicy() if scenario.retries else None,
        )
        began = time.time()
        with callers.sending():
            time.sleep(_QUIET if scenario.steps else _STEADY)
            for step in scenario.steps:
                _take(on, step, renews=scenario.renews)
                time.sleep(_QUIET)
        lines = [line for line in on.log.calls if line.at >= began]
        figures = summarise(callers.calls, lines, retries=callers.retries)
        haproxies = sum(change.role == "haproxy" and change.came and change.at >= began for change in on.census.changes)
        return {"name": scenario.name, "title": scenario.title, **figures, "proxy_reloads": haproxies}


def _take(on: Stage, step: int | str, *, renews: bool) -> None:
    former = on.pids()
    if step == LIVE:
        on.change_live()
        return
    if isinstance(step, int):
        on.scale(step)
    else:
        on.renew()
    if renews or isinstance(step, str):
        on.await_renewed(former)
    else:
        on.settle()

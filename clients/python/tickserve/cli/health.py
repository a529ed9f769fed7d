"""`tickserve health`: is it up, and is it well?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from tickserve.catalog import ReplicaStatistics
from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout, over_tls
from tickserve.cli.output import FAILED, milliseconds, print_json, reported, table
from tickserve.client import Client
from tickserve.replica_health import DeepState
from tickserve.tls import TlsOptions

__all__ = ("health",)

DEGRADED = 4
UNKNOWN = 5
_STYLES = {DeepState.HEALTHY: "green", DeepState.DEGRADED: "yellow", DeepState.UNHEALTHY: "bold red"}


@over_tls
def health(
    service: Annotated[
        str, typer.Option("--service", help="What to ask about: a service's or a model's name.", show_default="all")
    ] = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also show how each replica's engine computed a window of its own.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 2.0,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Tell whether the service is SERVING, and with --deep how its engines fare.

    Exit codes: 0 SERVING, and with --deep every engine that takes requests was in time; 1 not SERVING, or an engine
    failed; 2 wrong usage; 3 unreachable; with --deep also 4 an engine was slow, 5 one was never checked.

    Example: tickserve health --deep
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        state = client.health(service, timeout=timeout)
        # One that has a busy engine looks for an idle moment first, longer than a question usually takes.
        replicas = client.statistics(deep_check=True, timeout=max(timeout, 5.0)) if deep else []
    if json:
        found = {"replicas": [_described(replica) for replica in replicas]} if deep else {}
        print_json({"target": target, "service": service, "state": state} | found)
    else:
        style = "bold green" if state == "SERVING" else "bold red"
        Console().print(f"[{style}]{state}[/{style}]  {target}{f'  {service}' if service else ''}", highlight=False)
        if deep:
            Console().print(_engines(replicas))
    code = FAILED if state != "SERVING" else exit_code(replicas)
    if code:
        raise typer.Exit(code)


def exit_code(replicas: Sequence[ReplicaStatistics]) -> int:
    """Gives the code of the worst engine among the replicas that take requests; 0 where all were in time."""
    states = {replica.health.deep_check.state for replica in replicas if replica.health and replica.health.ready}
    if any(replica.health is None for replica in replicas):  # an older service
        states.add(DeepState.UNKNOWN)
    if DeepState.UNHEALTHY in states:
        return FAILED
    if DeepState.DEGRADED in states:
        return DEGRADED
    return UNKNOWN if states - {DeepState.HEALTHY} else 0


def _described(replica: ReplicaStatistics) -> dict[str, object]:
    return {"replica_id": replica.replica_id, "sample_age": replica.sample_age, "health": replica.health}


def _engines(replicas: Sequence[ReplicaStatistics]) -> RenderableType:
    rows = table("Replica", "Takes requests", "Engine", ">In engine", ">Waited", "Checked (UTC)")
    notes: list[RenderableType] = []
    for replica in replicas:
        found = replica.health
        if found is None:
            rows.add_row(Text(replica.replica_id), "-", "-", "-", "-", "-")
            continue
        check = found.deep_check
        measured = check.state in (DeepState.HEALTHY, DeepState.DEGRADED)
        rows.add_row(
            Text(replica.replica_id),
            "yes" if found.ready else Text(", ".join(blocker.name for blocker in found.blockers), style="bold red"),
            Text(check.state.name.lower(), style=_STYLES.get(check.state, "dim")),
            milliseconds(check.engine_duration) if measured else "-",
            milliseconds(check.queue_duration) if measured else "-",
            f"{check.check_time:%H:%M:%S}" if check.check_time else "never",
        )
        if check.error:
            notes.append(Text(f"{replica.replica_id}: {check.error}", style="red"))
        if check.skipped_count:
            words = f"{replica.replica_id}: since then {check.skipped_count} checks found the engine never idle"
            notes.append(Text(words, style="yellow"))
    return Group(rows, *notes)

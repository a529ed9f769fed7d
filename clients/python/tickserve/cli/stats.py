"""`tickserve stats`: how busy is it?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tickserve.catalog import ReplicaStatistics
from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout
from tickserve.cli.output import milliseconds, print_json, reported, span, table
from tickserve.client import Client

__all__ = ("stats",)


def stats(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between two looks.")] = 1.0,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 2.0,
    json: Json = False,
) -> None:
    """Show queues, batches and outcomes of the replicas.

    Example: tickserve stats --watch
    """
    with reported(target, as_json=json), Client(target) as client:

        def look() -> list[ReplicaStatistics]:
            return client.statistics(timeout=timeout)

        if not watch:
            _show(look(), json=json)
            return
        try:
            _watch(samples(look, lambda: time.sleep(interval)), json=json)
        except KeyboardInterrupt:  # the way to end it, not a failure
            return


def samples(look: Callable[[], list[ReplicaStatistics]], wait: Callable[[], None]) -> Iterator[list[ReplicaStatistics]]:
    """Yields one look after another, with a wait in between."""
    while True:
        yield look()
        wait()


def _watch(looks: Iterator[list[ReplicaStatistics]], *, json: bool) -> None:
    if json:
        for replicas in looks:
            print_json(replicas)
        return
    with Live(auto_refresh=False, screen=False) as live:
        for replicas in looks:
            live.update(_render(replicas), refresh=True)


def _show(replicas: Sequence[ReplicaStatistics], *, json: bool) -> None:
    if json:
        print_json(replicas)
    else:
        Console().print(_render(replicas))


def _render(replicas: Sequence[ReplicaStatistics]) -> RenderableType:
    return Group(*(_replica(replica) for replica in replicas))


def _replica(replica: ReplicaStatistics) -> RenderableType:
    queues = table("Class", ">Waiting", ">Oldest", title=f"replica {replica.replica_id}")
    for entry in replica.classes:
        queues.add_row(entry.priority.name.lower(), str(entry.queued_count), milliseconds(entry.oldest_duration))
    outcomes = table("Outcome", ">Requests")
    for outcome, count in replica.outcome_counts.items():
        outcomes.add_row(Text(outcome), f"{count:,}")
    facts = (
        f"up {span(round(replica.uptime_duration))}   in the engine {replica.in_flight_count}"
        f"   batches {replica.batch_count:,}   streams {replica.open_stream_count}   symbols {replica.symbol_count}"
        f"   loop {milliseconds(replica.heartbeat_age)} ago"
        f"   models {', '.join(map(str, replica.models)) or '-'}"
    )
    if replica.sample_age:
        facts += f"   (figures {milliseconds(replica.sample_age)} old)"
    return Group(queues, outcomes, Text(facts, style="dim"))

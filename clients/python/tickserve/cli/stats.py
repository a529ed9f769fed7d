"""`tickserve stats`: how busy is it?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tickserve.caches import CacheStatistics
from tickserve.catalog import BatchCost, ClassStatistics, ModelCost, ReplicaStatistics
from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout, over_tls
from tickserve.cli.output import milliseconds, print_json, reported, span, table
from tickserve.cli.route_table import route_table
from tickserve.client import Client
from tickserve.tick_statistics import TickStatistics
from tickserve.tls import TlsOptions

__all__ = ("stats",)

_MAX_SIZES = 8
"""More batch sizes than these are thinned out, so that one model's costs do not fill the screen; JSON has them all."""


@over_tls
def stats(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between two looks.")] = 1.0,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 2.0,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Show queues, missed deadlines, outcomes and batch costs of the replicas.

    Example: tickserve stats --watch

    Exit codes: 0 shown, with --watch until Ctrl-C; 1 refused or failed; 2 wrong usage; 3 unreachable.
    """
    with reported(target, as_json=json), Client(target, **tls) as client:

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
    return Group(*(_replica(replica, answering=place == 0) for place, replica in enumerate(replicas)))


def _replica(replica: ReplicaStatistics, *, answering: bool) -> RenderableType:
    parts: list[RenderableType] = [Text(f"replica {replica.replica_id}", style="bold")]
    if not answering:
        parts.append(Text(f"figures {replica.sample_age:.1f} s old, as it last told", style="yellow"))
    facts = (
        f"up {span(round(replica.uptime_duration))}",
        f"profile {replica.profile or '-'}",
        f"loop {milliseconds(replica.heartbeat_age)} ago",
        f"in the engine {replica.in_flight_count}",
        f"batches {replica.batch_count:,}",
        f"promoted {replica.promoted_count:,}",
        f"streams {replica.open_stream_count}",
        f"symbols {replica.symbol_count}",
    )
    parts += [
        Columns([Text(fact, style="dim") for fact in facts], padding=(0, 3)),
        Text(f"models {', '.join(map(str, replica.models)) or '-'}", style="dim"),
        _classes(replica.classes),
        *map(route_table, replica.routes),
        # Beside each other as far as they fit, so that `--watch` shows as much as it can of them.
        Columns(
            [_outcomes(replica), _cache(replica.cache), *_ticks(replica), *map(_costs, replica.costs)], padding=(0, 1)
        ),
    ]
    return Group(*parts)


def _classes(classes: Sequence[ClassStatistics]) -> RenderableType:
    rows = table("Class", ">Waiting", ">Oldest", ">In time", ">Late", ">P(miss | admitted)")
    for entry in classes:
        rows.add_row(
            entry.priority.name.lower(),
            f"{entry.queued_count:,}",
            _wait(entry.oldest_duration),
            f"{entry.in_time_count:,}",
            f"{entry.late_count:,}",
            _percentage(entry.miss_ratio),
        )
    return rows


def _outcomes(replica: ReplicaStatistics) -> RenderableType:
    rows = table("Outcome", ">Requests", title="outcomes")
    for outcome, count in replica.outcome_counts.items():
        rows.add_row(Text(outcome), f"{count:,}")
    return rows


def _cache(cache: CacheStatistics) -> RenderableType:
    rows = table("Cache", ">Answers", title="answers given again")
    rows.add_row("kept", f"{cache.entry_count:,}")
    rows.add_row("kept, MB", f"{cache.size_bytes / 1e6:,.1f}")
    rows.add_row("found", f"{cache.hit_count:,}")
    rows.add_row("found, of asked", _percentage(cache.hit_ratio))
    if cache.shared is not None:
        rows.add_row("found in Redis", f"{cache.shared.hit_count:,}")
        if not cache.shared.available:
            rows.add_row(Text("Redis", style="yellow"), Text("is down", style="yellow"))
    rows.add_row("repeated requests", f"{cache.replay_count:,}")
    rows.add_row("reused ids", f"{cache.reuse_count:,}")
    return rows


def _ticks(replica: ReplicaStatistics) -> list[RenderableType]:
    """Shows what tick streams did; nothing where there never was one."""
    ticks = replica.ticks
    counts = _tick_counts(ticks)
    if not replica.open_stream_count and not any(counts.values()):
        return []
    rows = table("Ticks", ">Count", title="tick streams")
    for words, count in counts.items():
        rows.add_row(words, f"{count:,}")
    rows.add_row("behind their own time", _wait(ticks.event_time_skew))
    return [rows]


def _tick_counts(ticks: TickStatistics) -> dict[str, int]:
    return {
        "applied": ticks.applied_count,
        "sent again": ticks.duplicate_count,
        "never received": ticks.missing_count,
        "conflated": ticks.conflated_count,
        "symbols resumed": ticks.resumed_count,
        "computed again": ticks.recomputed_count,
        "writes repeated": ticks.store_failure_count,
    }


def _costs(cost: ModelCost) -> RenderableType:
    shown = _thinned(cost.batches)
    title = f"{cost.model}, batch limit {cost.batch_limit}"
    if len(shown) < len(cost.batches):
        title += f"\n{len(shown)} of {len(cost.batches)} sizes"
    rows = table(">Batch", ">Median", ">Upper quantile", title=title)
    for batch in shown:
        rows.add_row(str(batch.batch_size), milliseconds(batch.median_duration), milliseconds(batch.quantile_duration))
    return rows


def _thinned(batches: Sequence[BatchCost]) -> Sequence[BatchCost]:
    """Gives all of a few; of many the smallest, then each that is at least twice the one before, and the largest."""
    if len(batches) <= _MAX_SIZES:
        return batches
    kept = [batches[0]]
    for batch in batches[1:-1]:
        if batch.batch_size >= 2 * kept[-1].batch_size:
            kept.append(batch)
    return [*kept, batches[-1]]


def _wait(seconds: float) -> str:
    """Writes a span that may be long."""
    return milliseconds(seconds) if abs(seconds) < 1 else f"{seconds:.2f} s"


def _percentage(ratio: float | None) -> str:
    """Writes a ratio so that what is rare does not read as never."""
    if ratio is None:
        return "-"
    return "< 0.01 %" if 0 < ratio < 1e-4 else f"{ratio * 100:.2f} %"

"""One fault after the other, each under mixed traffic, each answer judged."""

from __future__ import annotations

import dataclasses
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.chaos.callers import calling
from benchmarks.chaos.faults.catalogue import Maker
from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.oracle import Oracle
from benchmarks.chaos.plan import MIXED, CallerPlan
from benchmarks.chaos.stage import Kind, MissingError, Stage, served, stage
from benchmarks.chaos.tally import tally
from benchmarks.chaos.windows import Windows, tick_key, unary_key
from benchmarks.peers.target import TargetError
from server.config.scheduler_settings import SchedulerSettings

# Rows' random windows must differ; no row sends as many.
_SEEDS = 10_000_000
_SYMBOLS = 8
_STREAMS = 4
_BLINDNESS_SAMPLE = 256


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of one row, the fault's own aside.

    Attributes:
        warm_up: Of traffic that is not compared with.
        before: Of traffic alone, after that.
        after: Between healing and the end; what is not back by then is told as not back.
        least: Of a whole row.
        load: Share of the usual rates.
    """

    warm_up: float = 2.0
    before: float = 6.0
    after: float = 12.0
    least: float = 40.0
    load: float = 1.0


SHORT = Times(warm_up=1.0, before=2.0, after=4.0, least=0.0, load=0.4)


def run(faults: Mapping[str, Maker], times: Times) -> dict[str, Any]:
    """Puts in each fault.

    Returns:
        The rows by name, in the order given.

    Raises:
        TargetError: A service did not start.
    """
    rows: dict[str, dict[str, Any]] = {}
    blindness: list[float] = []
    for kind in Kind:
        mine = {name: make for name, make in faults.items() if make().kind is kind}
        if not mine:
            continue
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            try:
                with stage(Path(folder), kind) as set_stage:
                    oracle, bar_interval = oracle_of(Path(folder))
                    blindness.append(_blindness(oracle))
                    for name, make in mine.items():
                        number = list(faults).index(name)
                        rows[name] = _row(set_stage, make(), oracle, times, number, bar_interval)
                        _tell(rows[name])
            except MissingError as missing:
                for name, make in mine.items():
                    rows[name] = {"name": name, "title": title(make()), "skipped": str(missing)}
    return {
        "times": dataclasses.asdict(times),
        "oracle_blindness": max(blindness, default=None),
        "rows": [rows[name] for name in faults],
    }


def oracle_of(folder: Path) -> tuple[Oracle, float]:
    """Returns who knows the right answers of the stage in a folder, and the model's bar interval, seconds."""
    loaded = served(folder)
    bar_interval = loaded.config.bar_interval_seconds
    return Oracle(loaded.network, Windows(bar_interval=bar_interval)), bar_interval


def title(fault: Fault) -> str:
    """Returns a fault's title with its figures."""
    return fault.title.format_map({"hold": fault.hold, **vars(fault)})


def plan_for(target: str, *, number: int, bar_interval: float, load: float = 1.0) -> CallerPlan:
    """Returns the mixed traffic of one row, whose windows no other row sends."""
    plan = CallerPlan(
        target=target,
        unary=MIXED,
        symbols=tuple(range(number * _SYMBOLS, (number + 1) * _SYMBOLS)),
        streams=_STREAMS,
        bar_interval=bar_interval,
        first_seed=number * _SEEDS,
    )
    return plan.scaled(load)


def _row(
    set_stage: Stage, fault: Fault, oracle: Oracle, times: Times, number: int, bar_interval: float
) -> dict[str, Any]:
    before = set_stage.memory()
    plan = plan_for(set_stage.target.address, number=number, bar_interval=bar_interval, load=times.load)
    failure = ""
    with calling(plan) as called:
        time.sleep(times.warm_up + times.before)
        fault_at = time.monotonic()
        try:
            fault.inject(set_stage)
            time.sleep(fault.hold)
            fault.heal(set_stage)
        except (TargetError, OSError) as error:
            failure = f"{type(error).__name__}: {error}"
        elapsed = time.monotonic() - called.started_at
        time.sleep(max(times.after, times.least - elapsed))
    try:
        set_stage.await_whole()
    except (TargetError, OSError) as error:
        failure = failure or f"{type(error).__name__}: {error}"
        set_stage.start()
    wrong = oracle.wrong(called.records)
    warm_at = called.started_at + times.warm_up
    figures = tally(called.records, wrong=wrong, fault_at=fault_at, warm_at=warm_at)
    lost = figures["in_flight_silent"]
    return {
        "name": fault.name,
        "title": title(fault),
        "goal_s": fault.goal,
        **figures,
        "batches_lost": math.ceil(lost / SchedulerSettings().max_batch_size) if fault.kills_replica else None,
        "retries": called.retries,
        "refused_by_budget": called.refused_by_budget,
        "reconnects": called.reconnects,
        "lost_streams": called.lost_streams,
        "memory_before": before,
        "memory_after": set_stage.memory(),
        "facts": fault.facts,
        "failure": failure,
    }


def _blindness(oracle: Oracle) -> float:
    """Returns the worse share of the two kinds of windows of which a mix-up would not be seen."""
    keys = [unary_key(seed) for seed in range(_BLINDNESS_SAMPLE)]
    ticks = [tick_key(0, sequence) for sequence in range(1, _BLINDNESS_SAMPLE + 1)]
    return max(oracle.blindness(keys), oracle.blindness(ticks))


def _tell(row: dict[str, Any]) -> None:
    back = "not" if row["back_after_s"] is None else f"{row['back_after_s']:.2f} s"
    sys.stderr.write(
        f"{time.strftime('%H:%M:%S')} {row['name']}: {row['sent']} sent, {row['answered']} answered, "
        f"refused {row['refused']}, silent {row['silent']}, wrong {row['wrong']}, baseline {row['baseline']:.3f}, "
        f"back after {back}{'; ' + row['failure'] if row['failure'] else ''} {row['facts']}\n"
    )

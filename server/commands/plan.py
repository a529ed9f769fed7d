"""`tickserve plan`: how many replicas a load needs, what to expect of them, and what fills up first.

Owns the options. What a plan is, is in `planning`; how it is shown, in `plan_text`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.console import fail
from server.config.settings import SettingsError, load_settings

if TYPE_CHECKING:
    # At run time these import numpy: only a run that plans pays for it, not every `--help`.
    from batching import PriorityClass
    from planning.budgets import Budgets, EngineBudget

_BAD_INPUT = 2
# What `auto` takes on a machine without a GPU, and the only kind that has been measured.
_AUTO = "openvino"
_GPU_ENGINE = "cuda"


def plan(
    rate: Annotated[float, typer.Option("--rate", help="Unary requests a second, all classes together.")] = 0.0,
    mix: Annotated[
        str, typer.Option("--mix", metavar="CLASS=SHARE,...", help="Shares of the classes; they add up to 1.")
    ] = "standard",
    slo: Annotated[
        str,
        typer.Option(
            "--slo",
            metavar="CLASS=TIME,...",
            help="Time within which an answer counts, and the deadline callers set: real_time=20ms,standard=1s.",
            show_default="the settings' default_timeouts",
        ),
    ] = "",
    goal: Annotated[float, typer.Option("--goal", help="Part of each class that must be answered in time.")] = 0.99,
    streams: Annotated[int, typer.Option("--streams", help="Tick streams, open at the same time.")] = 0,
    ticks_per_second: Annotated[
        float, typer.Option("--ticks-per-second", help="Ticks a second of each stream, each answered.")
    ] = 0.0,
    stream_class: Annotated[
        str, typer.Option("--stream-class", help="Class of the streams' predictions.")
    ] = "standard",
    redis: Annotated[
        bool | None,
        typer.Option(
            "--redis/--no-redis", help="Windows in a Redis.", show_default="with streams, as replicas need it"
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="As the setting has it: auto, openvino, torchscript.")
    ] = "auto",
    costs: Annotated[
        Path | None,
        typer.Option("--costs", metavar="FILE", help="JSON with what batches cost: a cost table, or a live run's."),
    ] = None,
    cpus: Annotated[
        float | None, typer.Option("--cpus", help="vCPUs of one replica.", show_default="the engine's")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option("--gpus", help="GPUs of one replica.", show_default="the engine's")
    ] = None,
    spare: Annotated[int, typer.Option("--spare", help="Replicas that may be gone while the goals are kept.")] = 1,
    budgets: Annotated[
        Path | None,
        typer.Option("--budgets", metavar="FILE", help="TOML with figures that replace the measured ones."),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests", min=100, help="Simulated in each trial.", show_default="enough for the rarest class"
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same plan.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plan capacity: replicas, batch settings, latencies and misses to expect, the first bottleneck, the price.

    One replica is simulated, with the scheduler that serves and measured costs, under its share of the load.
    docs/capacity.md explains the figures; the assumptions are printed with the plan.

    Example: tickserve plan --rate 50000 --mix real_time=0.1,standard=0.6,background=0.3 --slo real_time=30ms

    Example: tickserve plan --streams 2000 --ticks-per-second 1 --json

    Exit codes: 0 planned; 1 no number of replicas keeps the goals; 2 wrong usage, or settings, budgets or costs that
    cannot be used.
    """
    from planning.budgets import read_budgets
    from planning.capacity_plan import make_plan
    from planning.demand import Demand
    from planning.planning_error import PlanningError, UnreachableGoalError
    from planning.spelling import parse_class, parse_mix, parse_slo
    from server.commands.plan_text import as_document, lines

    try:
        known = read_budgets(budgets)
        demand = Demand(
            rate=rate,
            mix=parse_mix(mix),
            slo=_default_slo() | parse_slo(slo),
            goal=goal,
            streams=streams,
            ticks_per_stream=ticks_per_second,
            stream_class=parse_class(stream_class, option="--stream-class"),
        )
        made = make_plan(
            demand,
            known,
            engine=_engine(engine, known, costs, cpus, gpus),
            spare=spare,
            redis=bool(streams) if redis is None else redis,
            seed=seed,
            requests=requests,
        )
    except UnreachableGoalError as error:
        fail(str(error), code=1)
    except (PlanningError, SettingsError) as error:
        fail(str(error), code=_BAD_INPUT)
    if as_json:
        typer.echo(json.dumps(as_document(made, known)))
        return
    for line in lines(made, known):
        typer.echo(line)


def _default_slo() -> dict[PriorityClass, float]:
    return load_settings().default_timeouts.by_class()


def _engine(name: str, budgets: Budgets, costs: Path | None, cpus: float | None, gpus: float | None) -> EngineBudget:
    """Returns the engine of the replicas, with what the options say of it.

    Raises:
        planning.planning_error.PlanningError: It is not known, or an option cannot be.
    """
    from planning.budgets import EngineBudget
    from planning.measured_costs import read_table
    from planning.planning_error import InvalidBudgetsError, InvalidDemandError

    kind = _AUTO if name == "auto" else name
    if costs is None:
        found = budgets.engine(kind)
    else:
        try:
            table = read_table(costs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidBudgetsError(
                "--costs", f"{costs} is no cost table ({error}); docs/capacity.md has its form"
            ) from None
        if kind in budgets.engines:
            found = replace(budgets.engines[kind], table=table, method=f"--costs {costs.name}", date="", machine="")
        else:
            # The loop and the proxy take as much beside any engine; a GPU engine has a GPU to itself unless told so.
            found = EngineBudget(
                name=kind,
                table=table,
                cpus=2.0,
                gpus=1.0 if kind == _GPU_ENGINE else 0.0,
                method=f"--costs {costs.name}",
            )
    for option, value in (("--cpus", cpus), ("--gpus", gpus)):
        if value is not None and not 0.0 <= value < float("inf"):
            raise InvalidDemandError(option, f"{value:g} cannot be; give 0 or more")
    if cpus == 0:
        raise InvalidDemandError("--cpus", "a replica needs some; give a part of one, or more")
    return replace(
        found,
        cpus=found.cpus if cpus is None else cpus,
        gpus=found.gpus if gpus is None else gpus,
    )

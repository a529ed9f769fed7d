"""`tickserve models`: which models are there, what computes them, and how good they were in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from tickserve.catalog import Model, ModelState
from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout, over_tls
from tickserve.cli.output import print_json, reported, span, table
from tickserve.client import Client
from tickserve.tls import TlsOptions

__all__ = ("models",)

_STYLES = {ModelState.SERVING: "green", ModelState.LOADING: "yellow", ModelState.FAILED: "bold red"}


@over_tls
def models(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show weights, schema and metrics.")] = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 2.0,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """List the models, with the engine that answers and why it was chosen.

    Example: tickserve models --verbose

    Exit codes: 0 listed; 1 refused or failed; 2 wrong usage; 3 unreachable.
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        found = client.models(timeout=timeout)
    if json:
        print_json(found)
        return
    console = Console()
    console.print(_overview(found))
    for model in found if verbose else ():
        console.print(_details(model))


def _overview(models: Sequence[Model]) -> RenderableType:
    if not models:
        return Text("The registry holds no model; `tickserve train` makes one.", style="yellow")
    rows = table("Model", "State", ">Window", ">Bar", ">Horizon", "Engine", "Why")
    for model in models:
        engine = model.engine
        rows.add_row(
            Text(
                f"{model.version}{' (default)' if model.is_default else ''}", style="bold" if model.is_default else ""
            ),
            Text(model.state.name, style=_STYLES.get(model.state, "dim")),
            f"{model.feature_count} x {model.time_steps}",
            span(model.bar_interval),
            f"{model.prediction_horizon} bars",
            f"{engine.name} {engine.precision} {engine.device}, {engine.thread_count} threads" if engine else "-",
            Text(engine.reason if engine else "not loaded", style="dim"),
        )
    return rows


def _details(model: Model) -> RenderableType:
    rows = table("Property", "Value", title=str(model.version))
    rows.add_row("weights", model.version.sha256)
    rows.add_row("feature schema", Text(model.feature_schema))
    rows.add_row("classes", Text(", ".join(model.class_labels)))
    rows.add_row("regressions", Text(", ".join(model.regression_names)))
    for name, value in model.training_metrics.items():
        rows.add_row(Text(name), f"{value:.6g}")
    return rows

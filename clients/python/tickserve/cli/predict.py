"""`tickserve predict`: one window, one answer."""

from __future__ import annotations

import json as json_module
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from tickserve.cli.options import (
    DEFAULT_TARGET,
    Json,
    ModelName,
    PriorityChoice,
    PriorityOption,
    Target,
    Timeout,
    over_tls,
)
from tickserve.cli.output import milliseconds, print_json, reported, table
from tickserve.client import Client
from tickserve.example import example_window
from tickserve.prediction import Prediction, Regression
from tickserve.tls import TlsOptions
from tickserve.window import Window

__all__ = ("predict",)


@over_tls
def predict(
    window: Annotated[
        Path | None,
        typer.Option(
            "--window", "-w", metavar="FILE", help="Window, features x steps: a .npy array, or .json nested lists."
        ),
    ] = None,
    symbol: Annotated[
        str | None, typer.Option("--symbol", "-s", help="Symbol whose window the service keeps from a stream.")
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="A made-up window of the model's shape.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Makes another example.")] = 0,
    model: ModelName = None,
    priority: PriorityOption = PriorityChoice.STANDARD,
    timeout: Timeout = 1.0,
    max_age: Annotated[
        float | None, typer.Option("--max-age", help="Seconds that the symbol's newest bar may be old.")
    ] = None,
    bypass_cache: Annotated[
        bool, typer.Option("--bypass-cache", help="Compute even if a cached answer exists.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Predict from one window: a file's, a symbol's, or an example's.

    Example: tickserve predict --example --priority real_time --timeout 0.05

    Exit codes: 0 answered; 1 refused or failed; 2 wrong usage; 3 unreachable.
    """
    if sum((window is not None, symbol is not None, example)) != 1:
        raise typer.BadParameter("give exactly one of --window FILE, --symbol NAME and --example")
    with reported(target, as_json=json), Client(target, default_timeout=timeout, **tls) as client:
        given = None
        if window is not None:
            given = read_window(window)
        elif example:
            given = example_window(client.model(model, timeout=max(timeout, 2.0)), seed)
        started = time.perf_counter()
        prediction = client.predict(
            given, symbol=symbol, model=model, priority=priority.value, max_age=max_age, bypass_cache=bypass_cache
        )
        round_trip = time.perf_counter() - started
    if json:
        print_json(prediction)
    else:
        Console().print(_render(prediction, round_trip))


def read_window(path: Path) -> Window:
    """Reads a window from a `.npy` array, or from `.json`: nested lists, or an object with `values` and a schema.

    Raises:
        ValueError: It is neither, or not two-dimensional.
        OSError: The file cannot be read.
    """
    if path.suffix == ".npy":
        return Window.from_array(np.load(path, allow_pickle=False))
    if path.suffix != ".json":
        raise ValueError(f"{path}: a window is read from .npy or .json")
    content: Any = json_module.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        if "values" not in content:
            raise ValueError(f"{path}: the object needs `values`, and may have `feature_schema`")
        return Window.from_array(content["values"], feature_schema=str(content.get("feature_schema", "")))
    return Window.from_array(content)


def _render(prediction: Prediction, round_trip: float) -> RenderableType:
    ensemble = prediction.ensemble
    classes = table("Class", ">Probability", *([">Ensemble"] if ensemble else []), "")
    for label, probability in prediction.classes.items():
        style = "bold green" if label == prediction.label else ""
        cells = [label, f"{probability:.4f}", "█" * round(30 * probability)]
        if ensemble:
            cells.insert(2, f"{ensemble.classes.get(label, float('nan')):.4f}")
        classes.add_row(*(Text(cell, style=style) for cell in cells))
    regressions = table("Estimate", ">Mean", *([">Ensemble"] if ensemble else []))
    for name, regression in prediction.regressions.items():
        cells = [name, _estimate(regression)]
        if ensemble and name in ensemble.regressions:
            cells.append(_estimate(ensemble.regressions[name]))
        regressions.add_row(*cells)
    execution = prediction.execution
    timings = table(">Queue", ">Inference", ">Total", ">Round trip", ">Batch", ">Slack", "Class", "Cached")
    timings.add_row(
        milliseconds(execution.queue_duration),
        milliseconds(execution.inference_duration),
        milliseconds(execution.total_duration),
        milliseconds(round_trip),
        str(execution.batch_size),
        milliseconds(execution.deadline_slack),
        execution.effective_priority.name.lower(),
        "yes" if execution.cached else "no",
    )
    facts = f"model {prediction.model}   replica {execution.replica_id}   window {prediction.input.sha256[:12]}"
    parts: list[RenderableType] = [classes, regressions, timings, Text(facts, style="dim")]
    if prediction.input.out_of_distribution:
        parts.append(Text("the window lies outside what the model saw in training: trust it less", style="yellow"))
    return Group(*parts)


def _estimate(regression: Regression) -> str:
    return f"{regression.mean:+.6f} ± {regression.standard_deviation:.6f}"

"""`tickserve train`: bars in a file to a version in the registry, with its figures beside the baselines.

Owns the options, the progress bar and the tables. What training does is in `model.training`.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.bar import Bar
from model.bar_file import read_bars
from model.errors import ModelError, ModelNameError
from model.training_settings import TrainingSettings

if TYPE_CHECKING:
    # At run time these import torch, which takes seconds: only a run that trains pays for it, not every `--help`.
    from model.fitting import TrainingProgress
    from model.training import TrainedModel

_DEFAULTS: Final = TrainingSettings()
_BAD_INPUT: Final = 2  # the exit code that command lines use for wrong usage


def train(
    data: Annotated[Path, typer.Option(help="CSV file of bars: Time,Open,High,Low,Close,Volume, UTC, oldest first.")],
    registry: Annotated[Path, typer.Option(help="Registry folder to write the new version to.")] = Path("registry"),
    name: Annotated[str, typer.Option(help="Name of the model.")] = "cnn_lstm",
    prediction_horizon: Annotated[
        int, typer.Option(help="Bars the targets look ahead.")
    ] = _DEFAULTS.prediction_horizon,
    max_epochs: Annotated[int, typer.Option(help="Passes over the data at most.")] = _DEFAULTS.max_epochs,
    stride: Annotated[int, typer.Option(help="Each pass sees one training window in so many.")] = _DEFAULTS.stride,
    seed: Annotated[int, typer.Option(help="Same seed, data and machine: same weights.")] = _DEFAULTS.seed,
    time_budget: Annotated[float, typer.Option(help="Seconds after which training stops.")] = _DEFAULTS.time_budget,
    batch_size: Annotated[int, typer.Option(help="Windows a step.")] = _DEFAULTS.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _DEFAULTS.learning_rate,
    threads: Annotated[
        int | None, typer.Option(help="Threads to compute with.", show_default="1 in bf16, 2 in fp32")
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the training steps: auto, fp32 or bf16.")] = _DEFAULTS.precision,
    bar_interval: Annotated[
        float | None, typer.Option(help="Length of a bar in seconds.", show_default="the commonest in the file")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; progress on standard error.")] = False,
) -> None:
    """Train a model on a file of bars and add it to the registry as a new version.

    Example: tickserve train --data data/eurusd_1h.csv --name cnn_lstm --time-budget 600

    Exit codes: 0 trained; 2 wrong usage, or data, name or registry refused.
    """
    console = Console(stderr=as_json)
    try:
        settings = TrainingSettings(
            prediction_horizon=prediction_horizon,
            max_epochs=max_epochs,
            stride=stride,
            seed=seed,
            time_budget=time_budget,
            batch_size=batch_size,
            learning_rate=learning_rate,
            threads=threads,
            precision=precision,  # type: ignore[arg-type]  # a wrong one is refused with the choices
            bar_interval=bar_interval,
        )
        _check_destination(registry, name)
        bars = read_bars(data)
        console.print(f"{len(bars):,} bars from {data}")
        trained = _train(bars, settings, console, {"file": data.name, "sha256": _sha256(data)})
        from model.registry import Registry

        version = Registry(registry).save(name, trained.network, trained.config, trained.golden)
    except ModelError as error:
        raise _refusal(str(error)) from error
    except OSError as error:
        raise _refusal(f"{error.filename or registry}: {error.strerror}; check path and permissions") from error
    folder = registry / name / str(version)
    if as_json:
        typer.echo(json.dumps({"name": name, "version": version, "folder": str(folder), **trained.config.training}))
        return
    _print_report(console, trained.config.training)
    console.print(f"trained {name} version {version}: {folder}", soft_wrap=True)


def _refusal(message: str) -> typer.Exit:
    """Prints why the input is refused; the caller raises what this returns."""
    Console(stderr=True).print(f"tickserve train: {message}", style="red", markup=False, soft_wrap=True)
    return typer.Exit(_BAD_INPUT)


def _check_destination(registry: Path, name: str) -> None:
    """Refuses before minutes of training what could not be saved after them.

    Raises:
        ModelError: The name is not one, or the registry is not a registry.
        OSError: The folder cannot be made or written to.
    """
    from model.registry import NAME_PATTERN, Registry

    if re.fullmatch(NAME_PATTERN, name) is None:
        raise ModelNameError(name, NAME_PATTERN)
    Registry(registry).names()
    registry.mkdir(parents=True, exist_ok=True)
    if not os.access(registry, os.W_OK | os.X_OK):
        raise PermissionError(13, "is not writable", str(registry))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _train(
    bars: list[Bar], settings: TrainingSettings, console: Console, provenance: Mapping[str, Any]
) -> "TrainedModel":
    """Trains under a progress bar; prints one line an epoch, which stays when the bar is gone."""
    from model.training import train_model

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    # Without a terminal a bar would only leave an empty line.
    shown: AbstractContextManager[Any] = bar if console.is_terminal else nullcontext()
    with shown:
        return train_model(bars, settings, _reporter(bar, console, settings), provenance=provenance)


def _reporter(bar: Progress, console: Console, settings: TrainingSettings) -> "Callable[[TrainingProgress], None]":
    task = bar.add_task("features", total=None, loss=float("nan"))

    def report(progress: "TrainingProgress") -> None:
        bar.update(
            task,
            description=f"epoch {progress.epoch}/{settings.max_epochs}",
            total=progress.steps * settings.max_epochs,
            completed=progress.steps * (progress.epoch - 1) + progress.step,
            loss=progress.training_loss,
        )
        if progress.validation_loss is not None:
            console.print(
                f"epoch {progress.epoch}: training loss {progress.training_loss:.4f}, validation loss "
                f"{progress.validation_loss:.4f}{' (best)' if progress.best else ''}"
            )

    return report


def _print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Prints the figures of validation and test split beside their baselines, and what the run took."""
    for split in ("validation", "test"):
        figures = report[split]
        table = Table(title=f"{split}: {figures['windows']} windows")
        table.add_column("figure")
        for column in ("head", "ensemble", "baseline"):
            table.add_column(column, justify="right")
        groups = (figures["classification"], figures["ensemble_classification"], figures["baseline"]["classification"])
        for figure in ("accuracy", "log_loss", "expected_calibration_error"):
            table.add_row(figure.replace("_", " "), *_cells(groups, figure))
        for target in ("return", "volatility"):
            table.add_section()
            parents = (figures["regression"], figures["ensemble_regression"], figures["baseline"]["regression"])
            groups = tuple(parent[target] for parent in parents)
            table.add_row(f"{target} rmse (basis points)", *_cells(groups, "rmse", 1e4))
            table.add_row(f"{target} mae (basis points)", *_cells(groups, "mae", 1e4))
            table.add_row(f"{target} coverage of +-1 sigma", *_cells(groups, "coverage"))
        console.print(table)
    console.print("Baselines: the training split's commonest class and shares, a zero return, its mean volatility.")
    console.print("Hourly returns are nearly unpredictable: judge each figure by its baseline.")
    history, duration = report["history"], report["duration"]
    console.print(
        f"best epoch {history['best_epoch']} of {len(history['epochs'])} ({history['stopped']}, "
        f"{history['precision']}); {duration['wall_seconds']:.0f} s, {duration['cpu_seconds']:.0f} s of CPU time"
    )


def _cells(groups: tuple[Mapping[str, float], ...], figure: str, scale: float = 1.0) -> list[str]:
    """One figure of head, ensemble and baseline; a dash where there is none."""
    return [f"{group[figure] * scale:.4f}" if figure in group else "-" for group in groups]

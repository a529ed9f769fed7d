"""`python -m benchmarks.streams`: at most eight minutes; with `--quick` about two. Writes report, JSON and a plot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.streams import experiment, figures, report
from benchmarks.streams.length import FULL, QUICK
from benchmarks.streams.scenarios import CLOSED, UNARY_OPEN

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about two minutes; into build/streams unless --out is given"
    )
    parser.add_argument(
        "--only",
        choices=list(experiment.Part),
        type=experiment.Part,
        help="measure one part, and print its figures as JSON; no report is written",
    )
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--source", type=Path, default=_ROOT, help="serve tickserve from this checkout")
    parser.add_argument("--out", type=Path, help="folder of report.md, results.json and streams.png")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    description = machine.describe(arguments.source)
    raw = experiment.measure(
        QUICK if arguments.quick else FULL,
        registry=arguments.registry,
        model=arguments.model,
        source=arguments.source.absolute(),
        only=arguments.only,
    )
    if arguments.only is not None:
        json.dump(figures.part(raw, {shape.name: shape.unary for shape in CLOSED}), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    document = figures.summarise(raw, {shape.name: shape.unary for shape in CLOSED})
    document |= results.origin("streams", description)
    _write(document, arguments.out or (_ROOT / "build" / "streams" if arguments.quick else _HERE))
    return 0


def _write(document: Mapping[str, Any], folder: Path) -> None:
    titles = {shape.name: shape.title for shape in CLOSED} | {UNARY_OPEN: "unary"}
    folder.mkdir(parents=True, exist_ok=True)
    plot = "streams.png"
    try:
        from benchmarks.streams.plot import draw
    except ImportError as error:  # the figures are worth having without it
        sys.stderr.write(f"no plots: {error}; install matplotlib\n")
        plot = ""
    else:
        draw(document, titles, folder / plot)
    results.save(folder, document, report.write(document, titles, plot=plot))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.overload`: about ten minutes; with `--quick` about two. Writes report, JSON and plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import machine, results
from benchmarks.overload import experiment, figures, report

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about two minutes; into build/overload unless --out is given"
    )
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--target", action="append", choices=experiment.NAMES, help="this server only; may be repeated")
    parser.add_argument("--source", type=Path, default=_ROOT, help="serve tickserve from this checkout")
    parser.add_argument("--rounds", type=int, help="rounds instead of the usual number")
    parser.add_argument("--out", type=Path, help="folder of report.md, results.json and overload.png")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    length = experiment.QUICK if arguments.quick else experiment.FULL
    if arguments.rounds:
        length = experiment.Length(rounds=arguments.rounds, warm_up=length.warm_up, duration=length.duration)
    description = machine.describe(arguments.source)
    raw = experiment.measure(
        length,
        registry=arguments.registry,
        model=arguments.model,
        names=arguments.target or experiment.NAMES,
        source=arguments.source.absolute(),
    )
    document = figures.summarise(raw)
    document |= results.origin("overload", description)
    folder = arguments.out or (_ROOT / "build" / "overload" if arguments.quick else _HERE)
    _write(document, folder)
    return 0


def _write(document: dict[str, object], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plot = "overload.png"
    try:
        from benchmarks.overload.plot import draw
    except ImportError as error:  # the figures are worth having without it
        sys.stderr.write(f"no plots: {error}; install matplotlib\n")
        plot = ""
    else:
        draw(document, folder / plot)
    results.save(folder, document, report.write(document, plot=plot))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.comparison`: about 32 minutes, `--quick` about 6. Writes benchmarks/report.md and its JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import machine, results
from benchmarks.comparison import experiment, figures, goals, length, plots, report
from benchmarks.peers import catalogue
from benchmarks.peers.triton import environment as triton_environment

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; into build/comparison")
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--servers", nargs="+", choices=catalogue.NAMES, default=catalogue.NAMES, help="these alone")
    parser.add_argument("--source", type=Path, default=_ROOT, help="serve tickserve from this checkout")
    parser.add_argument("--out", type=Path, help="folder of report.md, results.json and plots")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    if catalogue.TRITON in arguments.servers:
        triton_environment.make()
    description = machine.describe(arguments.source)
    raw = experiment.measure(
        length.QUICK if arguments.quick else length.FULL,
        registry=arguments.registry,
        model=arguments.model,
        names=arguments.servers,
        source=arguments.source.absolute(),
    )
    document = (
        figures.summarise(raw) | {"goals": goals.goals(raw["networks"])} | results.origin("comparison", description)
    )
    document["machine"] |= {"Triton": ", ".join(triton_environment.versions())}
    whole = not arguments.quick and arguments.out is None
    folder = _HERE.parent if whole else arguments.out or _ROOT / "build" / "comparison"
    drawn = plots.draw(document, folder / "plots")
    results.save(folder, document, report.write(document, pictures=drawn, folder="plots/"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

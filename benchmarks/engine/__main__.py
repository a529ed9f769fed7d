"""`python -m benchmarks.engine`: about five minutes; with `--quick` less than one. Writes report, JSON and plots."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import machine, results

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="less than a minute; into build/engine unless --out is given"
    )
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--rounds", type=int, help="rounds instead of the usual number")
    parser.add_argument("--out", type=Path, help="folder of report.md, results.json and engine.png")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    # As in a replica (docs/adr/0008-engine-threads.md). OpenMP reads it when torch is imported, which is below.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from benchmarks.engine import experiment, figures

    length = experiment.QUICK if arguments.quick else experiment.FULL
    if arguments.rounds:
        length = experiment.Length(rounds=arguments.rounds, seconds=length.seconds, calls=length.calls)
    description = machine.describe(_ROOT)
    raw = experiment.measure(length, registry=arguments.registry, model=arguments.model)
    document = figures.summarise(raw)
    document |= results.origin("engine", description)
    folder = arguments.out or (_ROOT / "build" / "engine" if arguments.quick else _HERE)
    _write(document, folder)
    return 0


def _write(document: dict[str, object], folder: Path) -> None:
    from benchmarks.engine import report

    folder.mkdir(parents=True, exist_ok=True)
    plot = "engine.png"
    try:
        from benchmarks.engine.plot import draw
    except ImportError as error:  # the figures are worth having without it
        sys.stderr.write(f"no plots: {error}; install matplotlib\n")
        plot = ""
    else:
        draw(document, folder / plot)
    results.save(folder, document, report.write(document, plot=plot))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.telemetry`: about ten minutes; with `--quick` about two. Writes report and JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import machine, results
from benchmarks.telemetry import experiment, report

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="three short rounds; into build/telemetry unless --out is given"
    )
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--source", type=Path, default=_ROOT, help="serve tickserve from this checkout")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    description = machine.describe(arguments.source)
    raw = experiment.measure(
        experiment.QUICK if arguments.quick else experiment.FULL,
        registry=arguments.registry,
        model=arguments.model,
        source=arguments.source.absolute(),
    )
    document = report.summarise(raw)
    document |= results.origin("telemetry", description)
    folder = arguments.out or (_ROOT / "build" / "telemetry" if arguments.quick else _HERE)
    results.save(folder, document, report.write(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())

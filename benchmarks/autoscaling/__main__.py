"""`python -m benchmarks.autoscaling`: five minutes on a quiet machine. Writes report, plot and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import machine, results
from benchmarks.autoscaling import experiment, plot, report

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a shorter ramp, into build/autoscaling")
    parser.add_argument("--source", type=Path, default=_ROOT, help="checkout that is served")
    parser.add_argument("--out", type=Path, help="folder of report.md, autoscaling.png and results.json")
    arguments = parser.parse_args()
    description = machine.describe(arguments.source)
    figures = experiment.run(experiment.QUICK if arguments.quick else experiment.RAMP, source=arguments.source)
    document = results.origin("autoscaling", description) | figures
    folder = arguments.out or (_ROOT / "build" / "autoscaling" if arguments.quick else _HERE)
    results.save(folder, document, report.write(document))
    plot.draw(document, folder / "autoscaling.png")


if __name__ == "__main__":
    main()

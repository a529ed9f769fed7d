"""`python -m benchmarks.outlier`: seven minutes on a quiet machine. Writes report and JSON; fails if a call failed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import machine, results
from benchmarks.outlier import experiment, report

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outlier", description=__doc__)
    names = [scenario.name for scenario in experiment.SCENARIOS]
    parser.add_argument("--only", nargs="+", choices=names, help="these scenarios alone, into build/outlier")
    parser.add_argument(
        "--source", type=Path, default=_ROOT, help="checkout that is served, to compare two states of it"
    )
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    description = machine.describe(arguments.source)
    wanted = [each for each in experiment.SCENARIOS if each.name in (arguments.only or names)]
    scenarios = [experiment.run(each, source=arguments.source) for each in wanted]
    document = results.origin("outlier", description) | {"scenarios": scenarios}
    folder = arguments.out or (_ROOT / "build" / "outlier" if arguments.only else _HERE)
    results.save(folder, document, report.write(document))
    return 0 if not any(each["failed"] for each in scenarios) else 1


if __name__ == "__main__":
    sys.exit(main())

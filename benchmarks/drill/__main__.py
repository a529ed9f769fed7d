"""`python -m benchmarks.drill`: six minutes on a quiet machine. Writes report and JSON; fails if one is misnamed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.drill import experiment, prometheus, report
from benchmarks.drill.diagnosis import Fault

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> int:
    """Drills and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drill", description=__doc__)
    names = [fault.name.lower() for fault in experiment.FAULTS]
    parser.add_argument("--only", nargs="+", choices=names, help="these faults alone, into build/drill")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    if not prometheus.is_installed():
        parser.error("prometheus is not installed; `make test` installs it where it may")
    faults = [Fault[name.upper()] for name in arguments.only or names]
    document: dict[str, Any] = {"machine": machine.describe(_ROOT)}
    document["command"] = " ".join(["python -m benchmarks.drill", *sys.argv[1:]])
    document |= experiment.run(faults)
    folder = arguments.out or (_ROOT / "build" / "drill" if arguments.only else _HERE)
    results.save(folder, document, report.write(document))
    return 0 if all(each["right"] for each in document["faults"]) else 1


if __name__ == "__main__":
    sys.exit(main())

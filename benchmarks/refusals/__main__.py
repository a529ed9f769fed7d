"""`python -m benchmarks.refusals`: five minutes on a quiet machine. Writes report and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import machine, results
from benchmarks.refusals import experiment, report

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refusals", description=__doc__)
    names = experiment.SITUATIONS
    parser.add_argument("--only", nargs="+", choices=names, help="these situations alone, into build/refusals")
    parser.add_argument("--source", type=Path, default=_ROOT, help="checkout that is served")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    description = machine.describe(arguments.source)
    wanted = [name for name in names if name in (arguments.only or names)]
    situations = [
        experiment.run(name, held=held, source=arguments.source)
        for name in wanted
        for held in ((False, True) if name != "even" else (True,))
    ]
    document = results.origin("refusals", description) | {"situations": situations}
    folder = arguments.out or (_ROOT / "build" / "refusals" if arguments.only else _HERE)
    results.save(folder, document, report.write(document))


if __name__ == "__main__":
    main()

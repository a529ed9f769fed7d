"""`python -m benchmarks.capacity`: about six minutes; with `--quick` under three. Writes report and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import machine, results
from benchmarks.capacity import budget_file, experiment, report
from benchmarks.capacity.figures import DISTURBED, summarise
from benchmarks.capacity.length import FULL, QUICK
from planning.budgets import FILE

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_BUILD = _ROOT / "build" / "capacity"


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round; into build/capacity unless --out is given"
    )
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    parser.add_argument(
        "--update-budgets", action="store_true", help=f"write the measured figures into {FILE.relative_to(_ROOT)}"
    )
    parser.add_argument("--raw", type=Path, help="measure nothing: the report of a former run's raw.json")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    description = machine.describe(_ROOT)
    folder = arguments.out or (_BUILD if arguments.quick else _HERE)
    length = QUICK if arguments.quick else FULL
    if arguments.raw is not None:
        raw = json.loads(arguments.raw.read_text(encoding="utf-8"))
    else:
        try:
            raw = experiment.measure(length, registry=arguments.registry, model=arguments.model)
        except experiment.MissingToolError as error:
            parser.error(str(error))
        # Before anything is made of it: a run takes minutes.
        _BUILD.mkdir(parents=True, exist_ok=True)
        (_BUILD / "raw.json").write_text(json.dumps(raw), encoding="utf-8")
    document = summarise(raw)
    document |= results.origin("capacity", description)
    results.save(folder, document, report.write(document))
    if arguments.update_budgets and document["foreign_share"] > DISTURBED:
        sys.stderr.write("other work took too much of the machine: the budgets stay as they are\n")
        return 1
    if arguments.update_budgets:
        FILE.write_text(
            budget_file.updated(
                FILE.read_text(encoding="utf-8"),
                document["budgets"],
                costs=document["costs"],
                date=description["date"].split()[0],
                machine=f"{description['processor']}, shared with the load generator",
            ),
            encoding="utf-8",
        )
        sys.stdout.write(f"{FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

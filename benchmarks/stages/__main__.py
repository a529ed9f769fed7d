"""`python -m benchmarks.stages`: two to three minutes; with `--quick` less than one. Writes report and JSON."""

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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; into build/stages unless --out is given")
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    parser.add_argument("--source", type=Path, default=_ROOT, help="serve tickserve from this checkout")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    if not arguments.registry.is_dir():
        parser.error(f"{arguments.registry} is not there: train a model with `tickserve train`, or name --registry")
    # As in a replica (docs/adr/0008-engine-threads.md). OpenMP reads it when torch is imported, which is below.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from benchmarks.stages import figures, inside, live, report

    description = machine.describe(arguments.source)
    what = {"registry": arguments.registry, "model": arguments.model}
    within = inside.measure(inside.QUICK if arguments.quick else inside.FULL, **what)
    served = live.measure(live.QUICK if arguments.quick else live.FULL, source=arguments.source.absolute(), **what)
    document = figures.summarise(within, served) | {
        "titles": {scenario.name: scenario.title for scenario in inside.SCENARIOS},
        **results.origin("stages", description),
    }
    folder = arguments.out or (_ROOT / "build" / "stages" if arguments.quick else _HERE)
    results.save(folder, document, report.write(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs all policies on all workloads and writes the report: ``python -m benchmarks.scheduling --help``."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.scheduling.calibration import compare, read_live
from benchmarks.scheduling.catalog import WORKLOADS
from benchmarks.scheduling.experiment import Run, Setup, policies, run_all, simulate
from benchmarks.scheduling.plots import draw_all
from benchmarks.scheduling.report import markdown, write_json
from benchmarks.scheduling.sweep import SWEEPS, run_sweeps
from planning.cost_table import QUIET, SHARED_CORE, CostTable
from planning.measured_costs import read_table

_FOLDER = Path(__file__).resolve().parent
_TABLES = {"shared-core": SHARED_CORE, "quiet": QUIET}
_REQUESTS = 300_000
_QUICK_REQUESTS = 20_000


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line says."""
    options = _parser().parse_args(arguments)
    requests = options.requests or (_QUICK_REQUESTS if options.quick else _REQUESTS)
    # A quick look must not replace the report that is kept.
    folder: Path = options.out or (Path("build/scheduling") if options.quick else _FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    live = read_live(options.live) if options.live else None
    setup = Setup(table=_table(options.cost_table), requests=requests, seed=options.seed)
    workloads = [workload for workload in WORKLOADS if not options.workload or workload.name in options.workload]
    runs = list(run_all(workloads, list(policies(setup.config)), setup, progress=_tell))
    comparisons = []
    if live is not None:
        calibrated = replace(setup, table=live.table or setup.table)
        overload = next(workload for workload in WORKLOADS if workload.name == "live overload")
        comparisons = compare(simulate(overload, "tickserve", calibrated).summary, live)
    # A sweep compares large effects: a third of the requests will do.
    points = list(run_sweeps(SWEEPS, workloads, replace(setup, requests=-(-requests // 3)), progress=_tell))
    draw_all([run.summary for run in runs], points, folder / "plots")
    write_json(folder / "report.json", runs, points, setup, comparisons)
    command = " ".join(["python -m benchmarks.scheduling", *(sys.argv[1:] if arguments is None else arguments)])
    text = markdown(runs, points, workloads, setup, comparisons, command=command)
    (folder / "report.md").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{folder / 'report.md'}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_REQUESTS} requests a run, into build/scheduling")
    parser.add_argument("--requests", type=int, help=f"about how many requests a run sends; default {_REQUESTS}")
    parser.add_argument("--workload", action="append", help="run this one only; may be given more than once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--cost-table",
        default="shared-core",
        help=f"one of {', '.join(_TABLES)}, or a JSON file: see planning/cost_table.py, measured_costs.py",
    )
    parser.add_argument("--live", type=Path, help="figures of a live overload run, to compare with (JSON)")
    parser.add_argument("--out", type=Path, help="folder of the report")
    return parser


def _table(name: str) -> CostTable:
    return _TABLES[name] if name in _TABLES else read_table(Path(name))


def _tell(run: Run) -> None:
    summary = run.summary
    sys.stdout.write(
        f"{summary.workload}, {summary.policy}: goodput {summary.goodput:.2%}, wasted {summary.wasted:.2%}, "
        f"{summary.requests} requests in {run.wall_seconds:.1f} s\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

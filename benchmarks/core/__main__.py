"""``python -m benchmarks.core``: print what the core costs, and write it as JSON.

Goal: under 20 us a request, flat within a factor of 2 from depth 1 to 10,000, and no slower after 10^6 submissions.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.core import depth, endurance

_DEPTHS = (1, 100, 10_000)


def main() -> int:
    """Measure; return 0 if the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/core.json"), help="JSON file to write")
    parser.add_argument("--submissions", type=int, default=1_000_000, help="length of the endurance run")
    options = parser.parse_args()
    write = sys.stdout.write
    write(f"{'batch':>6}{'admission':>11}" + "".join(f"{f'depth {d}':>14}" for d in _DEPTHS) + "   us a request\n")
    rows = []
    met = True
    for batch_size in (1, 16):
        for admission in (False, True):
            costs = [depth.measure(d, admission=admission, batch_size=batch_size) for d in _DEPTHS]
            rows += costs
            medians = [cost.median for cost in costs]
            met = met and max(medians) < 20.0 and max(medians) < 2 * min(medians)
            write(f"{batch_size:>6}{'on' if admission else 'off':>11}" + "".join(f"{m:>14.1f}" for m in medians) + "\n")
    long = endurance.run(options.submissions)
    met = met and long.kept <= 64 and long.last < 1.5 * long.first
    write(f"endurance: {long.submitted} submissions, {long.first:.1f} us at first, {long.last:.1f} us at last, ")
    write(f"{long.kept} entries left\n  {long.outcomes}\ngoals {'met' if met else 'NOT met'}\n")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"depth": [asdict(row) for row in rows], "endurance": asdict(long), "goals_met": met}
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

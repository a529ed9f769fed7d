"""`python -m benchmarks.chaos`: the short form; `--long` for every fault, `--soak MINUTES` for a long time without any.

`--long` writes report and JSON, and the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.chaos import experiment, report, soak
from benchmarks.chaos.faults.catalogue import LONG, SHORT

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_PAGE = _ROOT / "docs" / "reliability.md"
# Minutes from which on a soak's report is one to keep.
_LONG_SOAK = 30.0
_BEGIN, _END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def main() -> int:
    """Measures and writes; 0 if no answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--long", action="store_true", help="every fault, about 40 s each")
    parser.add_argument("--only", nargs="+", choices=LONG, help="these faults alone, long, into build/chaos")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="no fault, for so long")
    parser.add_argument("--share", type=float, default=0.8, help="of capacity, for --soak")
    parser.add_argument("--load", type=float, default=1.0, help="share of the usual rates; less on a busy machine")
    parser.add_argument("--out", type=Path, help="folder of report.md and results.json")
    arguments = parser.parse_args()
    # Ended in good order, or the service would outlive who stops this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    document: dict[str, Any] = results.origin("chaos", machine.describe(_ROOT))
    if arguments.soak:
        document |= soak.run(arguments.soak, arguments.share)
        kept = _HERE / "soak" if arguments.soak >= _LONG_SOAK else _ROOT / "build" / "chaos-soak"
        results.save(arguments.out or kept, document, soak.write(document))
        return 1 if soak.missed(document) else 0
    is_long = arguments.long or arguments.only
    faults = {name: LONG[name] for name in arguments.only or LONG} if is_long else SHORT
    document |= experiment.run(faults, experiment.Times(load=arguments.load) if is_long else experiment.SHORT)
    document["machine"]["load average at the end"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    is_whole = arguments.long and not arguments.only
    results.save(arguments.out or (_HERE if is_whole else _ROOT / "build" / "chaos"), document, report.write(document))
    if is_whole and arguments.out is None:
        _PAGE.write_text(with_table(_PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")
    return 1 if any(row.get("wrong") for row in document["rows"]) else 0


def with_table(page: str, document: dict[str, Any]) -> str:
    """Returns a page whose marked part is this document's table and goals.

    Raises:
        ValueError: The page has no such part.
    """
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"no {_BEGIN} and {_END}")
    goals = "\n".join(f"- missed: {line}" for line in report.missed(document)) or "All goals were met."
    origin = f"`{document['command']}`, {document['machine']['date']}, commit {document['machine']['commit']}"
    return f"{before}{_BEGIN}\n\n{origin}\n\n{report.chaos_table(document)}\n\n{goals}\n\n{_END}{after}"


if __name__ == "__main__":
    sys.exit(main())

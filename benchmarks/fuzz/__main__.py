"""``python -m benchmarks.fuzz``: attack the decoding path for long, and say how it fared.

Ends at the first broken law, with exit code 1, the command that repeats the round, and all that it sent in a file.
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fuzz.campaign import ROUND, Campaign, CampaignError, run
from benchmarks.fuzz.doorway import doorways


def main() -> int:
    """Attacks; returns 0 if every law held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="damaged messages to send")
    parser.add_argument("--seed", type=int, default=None, help="decides what is sent; another one each time by default")
    parser.add_argument("--first", type=int, default=0, help=f"round to begin with; each has {ROUND} messages")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="folder for results.json and failures")
    options = parser.parse_args()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    # Refusals are told by the thousand, and are no news here.
    logging.getLogger("tickserve").setLevel(logging.CRITICAL)
    options.output.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"seed {seed}\n")
    began = time.monotonic()

    def tell(campaign: Campaign) -> None:
        megabytes = campaign.memory[-1] / 2**20
        sys.stdout.write(f"{campaign.damaged:>9} sent, {time.monotonic() - began:6.0f} s, {megabytes:.0f} MiB\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as folder, doorways(Path(folder)) as attacked:
        try:
            campaign = run(attacked, seed=seed, count=options.count, first=options.first, told=tell)
        except CampaignError as error:
            sent = "".join(f"{method} {data.hex()}\n" for method, data in error.sent)
            (options.output / "failure.txt").write_text(sent, encoding="utf-8")
            sys.stdout.write(f"{error}\nAll that it sent: {options.output / 'failure.txt'}\n")
            return 1
    report = {
        "seed": seed,
        "damaged": campaign.damaged,
        "seconds": round(time.monotonic() - began, 1),
        "resident bytes by tenths": campaign.memory,
        "growth in the second half": campaign.growth,
        "outcomes": dict(campaign.outcomes.most_common()),
    }
    (options.output / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for outcome, count in campaign.outcomes.most_common():
        sys.stdout.write(f"{count:>9}  {outcome}\n")
    sys.stdout.write(f"every law held; grown by {campaign.growth / 2**20:.1f} MiB in the second half\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes the Grafana dashboard, or tells whether the committed one has drifted from it."""

import argparse
import json
import sys

from scripts.dashboard.board import dashboard
from scripts.layering import ROOT

FILE = ROOT / "deploy/grafana/tickserve.json"


def text() -> str:
    """Returns the content of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboard", description=__doc__)
    parser.add_argument("command", choices=("generate", "check"), help="write the file, or fail if it has drifted")
    if parser.parse_args().command == "generate":
        FILE.write_text(text(), encoding="utf-8")
        sys.stdout.write(f"{FILE.relative_to(ROOT)}\n")
    elif FILE.read_text(encoding="utf-8") != text():
        raise SystemExit("deploy/grafana/tickserve.json has drifted; run `python -m scripts.dashboard generate`")


if __name__ == "__main__":
    main()

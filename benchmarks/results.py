"""Where a benchmark's figures end up: the document as JSON, the report beside it, and what both say of the run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def origin(name: str, description: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a document says of where its figures come from.

    Args:
        name: The benchmark's module, below `benchmarks`.
        description: Of the machine at the start; see `machine.describe`.
    """
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "machine": {**description, "load average at the end": load},
        "command": " ".join([f"python -m benchmarks.{name}", *sys.argv[1:]]),
    }


def save(folder: Path, document: Mapping[str, Any], report: str) -> None:
    """Writes results.json and report.md, and tells where."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(report, encoding="utf-8")
    sys.stdout.write(f"{folder / 'report.md'}\n")

"""What Ray Serve's controller decided, from its log. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

_DECISION = re.compile(r"(?:Upscaling|Downscaling) .*? from (\d+) to (\d+) replicas")
_TEXT_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}")


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of the number of replicas that was decided.

    Attributes:
        at: Unix seconds.
        before: Their number before.
        after: Their number after.
    """

    at: float
    before: int
    after: int


def decisions(lines: Iterable[str]) -> Iterator[Decision]:
    """Yields the decisions in a log, in order; lines are text or JSON, as Ray Serve's settings say."""
    for line in lines:
        if (found := _DECISION.search(line)) is not None:
            yield Decision(_time(line), int(found[1]), int(found[2]))


def _time(line: str) -> float:
    if line.startswith("{"):
        fields = json.loads(line)
        if "timestamp_ns" in fields:
            return int(fields["timestamp_ns"]) / 1e9
        text = fields["asctime"]
    else:
        found = _TEXT_TIME.search(line)
        if found is None:
            raise ValueError(f"a line of the controller's log has no time: {line[:200]}")
        text = found[0]
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()

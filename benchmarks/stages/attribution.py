"""Whose time a sampled stack is: a table by part of the system, from the event loop's thread alone. Pure.

A sample belongs to the innermost frame that has an owner: ours, by module, or Ray Serve's. So what the standard
library, protobuf or numpy do is charged to whoever calls them. Below the loop's own runner there is no Python frame:
that is uvloop, and gRPC's compiled part, which samples of Python frames cannot tell apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

LOOP_THREAD = "AsyncIO Thread: default"
ENGINE_THREAD = "engine-0"
COMPILED = "uvloop and gRPC, compiled"
RAY = "Ray Serve"

_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>.+):\d+\)$")
_THREAD = re.compile(r"^thread \((?P<id>\d+)\): (?P<name>.*)$")
# The first match names the part; frames that match none are their callers'.
_PARTS = (
    (r"^batching/", "tickserve: scheduler"),
    (r"^server/(.*/)?(ingress|call|deadline)\.py$", "tickserve: seam"),
    (r"^server/(.*/)?decode\.py$", "tickserve: decode"),
    (r"^server/(.*/)?encode\.py$", "tickserve: encode"),
    (r"^server/(.*/)?predictor\.py$", "tickserve: predictor (hash, range)"),
    (r"^server/(.*/)?(known_results|result_cache|packed_row|redis_result_cache)\.py$", "tickserve: result cache"),
    (r"^server/(.*/)?(request_ledger|idempotency)\.py$", "tickserve: request ids"),
    (r"^server/(.*/)?response_stream\.py$", "tickserve: stream's tasks"),
    (r"^server/(.*/)?(prediction_service|dispatch|deployment)\.py$", "tickserve: service"),
    (r"^(server|model|clients)/", "tickserve: other"),
    (r"^ray/", RAY),
    (r"^grpc/", "gRPC, Python"),
)


def by_part(collapsed: Iterable[str], *, thread: str = LOOP_THREAD) -> dict[str, int]:
    """Returns the samples of a thread by part, most first.

    Args:
        collapsed: Lines of `py-spy record --format raw --threads`: frames from the outermost one, then a count.
        thread: Name of the thread.
    """
    counts: Counter[str] = Counter()
    for name, frames, count in stacks(collapsed):
        if name == thread:
            counts[part_of(frames)] += count
    return dict(counts.most_common())


def stacks(collapsed: Iterable[str]) -> Iterator[tuple[str, list[str], int]]:
    """Yields thread, frames from the outermost one and count of each line that is a stack."""
    for line in collapsed:
        stack, _, count = line.strip().rpartition(" ")
        head, *frames = stack.split(";")
        match = _THREAD.match(head)
        if match is not None and count.isdigit():
            yield match["name"], frames, int(count)


def part_of(frames: list[str]) -> str:
    """Returns whose time a stack is.

    Args:
        frames: `function (file:line)` from the outermost one; files relative to the folder that they are imported from.
    """
    for frame in reversed(frames):
        match = _FRAME.match(frame)
        if match is None:
            continue
        for pattern, part in _PARTS:
            if re.search(pattern, match["file"]):
                return part
    # Nothing but what runs the loop.
    return COMPILED

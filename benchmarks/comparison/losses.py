"""Where a peer is ahead of tickserve by more than the tolerance, and what is known of the reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers import catalogue

TOLERANCE = 0.10
"""By how much a peer may be ahead without an explanation."""

_NOT_PEERS = (catalogue.ECHO, catalogue.SAME_ENGINE, catalogue.AS_SHIPPED)

# By scenario and server. What is not here and lost is told as unexplained, and that is a fault of this page.
REASONS: Mapping[tuple[str, str], str] = {
    ("null_1", catalogue.BARE): "the bare server has no proxy, no admission, no checks and no traces; tickserve's are "
    "the price of deadlines that are kept under load",
    ("null_64", catalogue.BARE): "as with one in flight: each call passes HAProxy, Ray Serve's wrapper and the "
    "scheduler",
    ("null_streams_64", catalogue.BARE): "as above; on a stream each message is also checked, scheduled and answered "
    "apart",
    ("null_64", catalogue.TRITON): "Triton's front end is C++; ours is Python's grpc.aio on one core",
    ("null_1", catalogue.TRITON): "Triton's front end is C++; ours is Python's grpc.aio on one core",
    ("wide_8", catalogue.BARE): "a megabyte passes HAProxy once more, and is hashed and checked",
    ("wide_8", catalogue.TRITON): "Triton's front end is C++ and hands the bytes over in shared memory; ours passes "
    "HAProxy once more, hashes and checks them",
}


def losses(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns scenario, peer, kind of lead, by how much it was lost, and why, for every lead lost.

    A lead is lost where the median over rounds says so: tickserve is then worse by more than `TOLERANCE`.
    """
    found = []
    for name, scenario in document["scenarios"].items():
        for server, figures in scenario["servers"].items():
            if server in _NOT_PEERS:
                continue
            for kind in ("lead_as_shipped", "lead_same_engine"):
                median = (figures[kind] or {}).get("median")
                if median is not None and median < 1 - TOLERANCE:
                    reason = REASONS.get((name, server), "")
                    found.append(
                        {"scenario": name, "server": server, "kind": kind, "lead": figures[kind], "reason": reason}
                    )
    return found

"""Where a peer is ahead of tickserve by more than the tolerance, and what is known of the reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.peers import catalogue

TOLERANCE = 0.10
"""By how much a peer may be ahead without an explanation."""

_NOT_PEERS = (catalogue.ECHO, catalogue.INGRESS_ECHO, catalogue.SAME_ENGINE, catalogue.AS_SHIPPED)

_SHORT_BATCHES = (
    "tickserve keeps a batch to what is predicted to take 12 ms (`scheduler.max_batch_duration`), so that an "
    "urgent call never waits longer for one that has begun; theirs hold 64 windows, which cost this engine less "
    "each, and beside them no probe was in time. With 0.3 s instead of 12 ms the same engine answers, over Ray "
    "Serve with HAProxy and `@serve.batch`, 1.02 times as many unary calls (0.92 to 1.07) and 0.91 times as many "
    "on streams (0.86 to 0.93), where with 12 ms it was 0.52 (64 in flight, 3 interleaved rounds of the three)"
)
_BARE = (
    "the bare server has no proxy, no admission, no checks and no traces; tickserve's are the price of deadlines "
    "that are kept under load"
)
_LOOP = (
    "a call costs tickserve's event loop 0.34 ms more than an echo does: each number is checked, the window is "
    "hashed for the cache, queued by class and deadline, and answered with its evidence; and a batch is computed "
    "in a thread, where `@serve.batch` computes in the event loop, which serves nobody meanwhile. Holding batches "
    "back for 10 ms, as that does, gains 1.03 and 1.05"
)
_WIDE = "a megabyte passes HAProxy once more, and is checked number by number and hashed in the event loop"

# By scenario and server. What is not here and lost is told as unexplained, and that is a fault of this page.
REASONS: Mapping[tuple[str, str], str] = {
    ("unary_64", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("streams_64", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("streams_300", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("streams_300", catalogue.TRITON): _SHORT_BATCHES,
    ("background", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("background", catalogue.TRITON): _SHORT_BATCHES,
    ("burst", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("burst", catalogue.TRITON): _SHORT_BATCHES,
    ("slow_16", catalogue.STOCK): _SHORT_BATCHES,
    ("slow_16", catalogue.STOCK_HAPROXY): _SHORT_BATCHES,
    ("slow_16", catalogue.TRITON): _SHORT_BATCHES,
    ("unary_1", catalogue.BARE): _BARE,
    ("null_1", catalogue.BARE): _BARE,
    ("null_64", catalogue.BARE): _BARE,
    ("null_streams_64", catalogue.BARE): _BARE,
    ("null_64", catalogue.STOCK_HAPROXY): _LOOP,
    ("null_streams_64", catalogue.STOCK_HAPROXY): _LOOP,
    ("null_64", catalogue.TRITON): "Triton's front end is C++; ours is Python's grpc.aio on one core",
    ("null_1", catalogue.TRITON): "Triton's front end is C++; ours is Python's grpc.aio on one core",
    ("wide_8", catalogue.BARE): _WIDE,
    ("wide_8", catalogue.STOCK_HAPROXY): _WIDE,
    ("wide_8", catalogue.TRITON): f"{_WIDE}; Triton's front end is C++ and checks nothing",
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

"""Owns the figures of one run. Must not know how they are shown."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batching import PriorityClass
from planning.ledger import ABANDONED, ANSWERED, Ledger
from planning.simulator import EngineUse

#: Quantiles kept of every stream's latency, for plots.
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
#: Into how many parts a run is cut to show how goodput moves.
TIMELINE_BINS = 60


@dataclass(frozen=True, kw_only=True)
class StreamSummary:
    """What became of one stream.

    Attributes:
        priority: Name of its class.
        sent: Requests whose callers meant to wait for the answer; the others are left out of all that follows.
        in_time: Answers within the deadline.
        goodput: ``in_time / sent``.
        in_time_per_second: Of virtual time.
        p50: Latency at the client in seconds, of the answers there were, late ones included; NaN for none.
        p99: As ``p50``.
        p999: As ``p50``.
        latency_quantiles: At ``QUANTILES``.
        worst_wait: Seconds from arrival to batch, at most, of those that got into one.
        missed_after_admission: Part of those neither refused nor abandoned by their clients that were not in time.
        outcomes: How many ended how.
        timeline: Goodput in each of ``TIMELINE_BINS`` parts of the run, by arrival; NaN where nothing was sent.
    """

    priority: str
    sent: int
    in_time: int
    goodput: float
    in_time_per_second: float
    p50: float
    p99: float
    p999: float
    latency_quantiles: tuple[float, ...]
    worst_wait: float
    missed_after_admission: float
    outcomes: dict[str, int]
    timeline: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One policy on one workload.

    Attributes:
        policy: Name.
        workload: Name.
        requests: Sent in all, cancelled ones included.
        duration: Seconds of virtual time.
        goodput: Of all streams together.
        utilisation: Part of the time that the engine ran.
        wasted: Part of the engine's running time spent on answers that nobody could use.
        mean_batch_size: Requests a call.
        longest_batch: Seconds.
        worst_background_wait: See ``StreamSummary.worst_wait``.
        streams: By name.
    """

    policy: str
    workload: str
    requests: int
    duration: float
    goodput: float
    utilisation: float
    wasted: float
    mean_batch_size: float
    longest_batch: float
    worst_background_wait: float
    streams: dict[str, StreamSummary]


def summarize(
    ledger: Ledger,
    use: EngineUse,
    *,
    policy: str,
    workload: str,
    transport: float,
    transport_jitter: float = 0.0,
    seed: int = 0,
) -> Summary:
    """Work out the figures; refuses a ledger in which a request has not ended.

    With ``transport_jitter`` each answer's way is drawn from a lognormal distribution around ``transport``, by seed.
    """
    if ledger.ended_count != len(ledger):
        raise RuntimeError(f"{len(ledger) - ledger.ended_count} of {len(ledger)} requests have not ended")
    arrival, ended = np.array(ledger.arrival), np.array(ledger.ended_at)
    chosen = np.array(ledger.chosen_at)
    awaited = ~np.array(ledger.cancelled, dtype=bool)
    answered = np.array([outcome == ANSWERED for outcome in ledger.outcome], dtype=bool)
    beyond = np.zeros(len(ended))
    if transport_jitter:
        beyond = transport * (np.random.default_rng([seed, 0x7A]).lognormal(0.0, transport_jitter, len(ended)) - 1.0)
    in_time = answered & (ended + beyond <= np.array(ledger.useful_until))
    stream = np.array(ledger.stream)
    duration = max(float(arrival[-1]) if len(arrival) else 0.0, use.ended_at, 1e-9)
    streams = {}
    for index, kind in enumerate(ledger.streams):
        mine = (stream == index) & awaited
        rows = np.flatnonzero(mine)
        outcomes = Counter(ledger.outcome[row] for row in rows.tolist())
        latencies = (ended - arrival + beyond)[mine & answered] + transport
        sent, good = int(mine.sum()), int((mine & in_time).sum())
        quantiles = np.quantile(latencies, QUANTILES) if len(latencies) else np.full(len(QUANTILES), np.nan)
        by_level = dict(zip(QUANTILES, quantiles.tolist(), strict=True))
        waits = (chosen - arrival)[(stream == index) & ~np.isnan(chosen)]
        admitted = sent - sum(count for name, count in outcomes.items() if _is_refusal(name) or name == ABANDONED)
        streams[kind.name] = StreamSummary(
            priority=kind.priority.name,
            sent=sent,
            in_time=good,
            goodput=good / sent if sent else math.nan,
            in_time_per_second=good / duration,
            p50=by_level[0.5],
            p99=by_level[0.99],
            p999=by_level[0.999],
            latency_quantiles=tuple(quantiles.tolist()),
            worst_wait=float(waits.max()) if len(waits) else 0.0,
            missed_after_admission=(admitted - good) / admitted if admitted else 0.0,
            outcomes=dict(sorted(outcomes.items())),
            timeline=_timeline(arrival[mine], in_time[mine], duration),
        )
    sent_in_all = int(awaited.sum())
    return Summary(
        policy=policy,
        workload=workload,
        requests=len(ledger),
        duration=duration,
        goodput=int((in_time & awaited).sum()) / sent_in_all if sent_in_all else math.nan,
        utilisation=use.busy / duration,
        wasted=use.wasted / use.busy if use.busy else 0.0,
        mean_batch_size=use.members / use.batches if use.batches else 0.0,
        longest_batch=use.longest,
        worst_background_wait=max(
            (entry.worst_wait for entry in streams.values() if entry.priority == PriorityClass.BACKGROUND.name),
            default=0.0,
        ),
        streams=streams,
    )


def _is_refusal(outcome: str) -> bool:
    # Ended by the server's own choice before it had promised anything, or to make room: not a broken promise.
    return outcome not in {ANSWERED, ABANDONED} and not outcome.startswith("Expired")


def _timeline(arrival: NDArray[np.float64], in_time: NDArray[np.bool_], duration: float) -> tuple[float, ...]:
    bins = np.minimum((arrival / duration * TIMELINE_BINS).astype(int), TIMELINE_BINS - 1)
    sent = np.bincount(bins, minlength=TIMELINE_BINS)
    good = np.bincount(bins, weights=in_time, minlength=TIMELINE_BINS)
    return tuple(float(g / s) if s else math.nan for g, s in zip(good, sent, strict=True))

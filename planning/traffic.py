"""Owns what is sent: streams of like requests, open-loop arrivals, closed-loop callers. Must not know who answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batching import PriorityClass
from planning.arrivals import Moments


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Requests that are alike, reported together.

    Attributes:
        name: In the report.
        priority: Their class.
        timeout: Seconds from sending within which an answer counts.
        callers: Among how many callers they are spread evenly.
        cancelled: Part of them that the caller gives up at a random moment before their deadline. They load the
            system, but nobody waits for them, so goodput leaves them out.
        patient: Whether the client goes on waiting after the timeout, so that late answers can be timed. Others hang
            up, which the server learns as a cancellation.
    """

    name: str
    priority: PriorityClass
    timeout: float
    callers: int = 8
    cancelled: float = 0.0
    patient: bool = False


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """Callers that each send one request, wait for its end, and send the next.

    Attributes:
        stream: Index of their stream.
        callers: How many.
        think: Seconds from an answer to the next request.
        least_backoff: Seconds a refused caller waits at least; it waits longer if the refusal says so.
    """

    stream: int
    callers: int
    think: float = 0.0
    least_backoff: float = 0.005


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """All that is sent in one run.

    Attributes:
        streams: See ``Stream``.
        sent_at: Open-loop arrivals at the server, ascending, in seconds.
        stream_of: Index of each one's stream.
        caller_of: Number of each one's caller within its stream.
        cancel_after: Seconds after which each one is given up; ``inf`` for never.
        closed_loops: Callers that wait for answers.
        duration: When closed-loop callers send no more, in seconds.
    """

    streams: tuple[Stream, ...]
    sent_at: Moments
    stream_of: NDArray[np.int64]
    caller_of: NDArray[np.int64]
    cancel_after: NDArray[np.float64]
    closed_loops: tuple[ClosedLoop, ...] = ()
    duration: float = 0.0


def open_loop(
    random: np.random.Generator,
    parts: Sequence[tuple[Stream, Moments]],
    *,
    closed: Sequence[tuple[Stream, ClosedLoop]] = (),
    duration: float | None = None,
) -> Traffic:
    """Merge the arrivals of several streams, and give each request its caller and, if it has one, its cancellation.

    Args:
        random: Draws callers and cancellations.
        parts: Streams with their moments of arrival.
        closed: Streams sent in closed loops; the ``stream`` of a loop given here is set to the right index.
        duration: Of the traffic; by default up to the last arrival.
    """
    streams = tuple(stream for stream, _ in parts) + tuple(stream for stream, _ in closed)
    moments = [moments for _, moments in parts]
    sent_at = np.concatenate(moments) if moments else np.empty(0)
    stream_of = np.repeat(np.arange(len(parts)), [len(part) for part in moments])
    order = np.argsort(sent_at, kind="stable")
    sent_at, stream_of = sent_at[order], stream_of[order]
    callers = np.array([stream.callers for stream in streams])[stream_of]
    timeouts = np.array([stream.timeout for stream in streams])[stream_of]
    cancelled = random.random(len(sent_at)) < np.array([stream.cancelled for stream in streams])[stream_of]
    return Traffic(
        streams=streams,
        sent_at=sent_at,
        stream_of=stream_of,
        caller_of=(random.random(len(sent_at)) * callers).astype(np.int64),
        cancel_after=np.where(cancelled, random.random(len(sent_at)) * timeouts, math.inf),
        closed_loops=tuple(
            ClosedLoop(
                stream=len(parts) + index, callers=loop.callers, think=loop.think, least_backoff=loop.least_backoff
            )
            for index, (_, loop) in enumerate(closed)
        ),
        duration=duration if duration is not None else float(sent_at[-1]) if len(sent_at) else 0.0,
    )


def split(
    random: np.random.Generator, moments: Moments, streams: Sequence[Stream], shares: Sequence[float]
) -> list[tuple[Stream, Moments]]:
    """Deal arrivals out to streams at random, by shares that sum to 1."""
    which = random.choice(len(streams), size=len(moments), p=list(shares))
    return [(stream, moments[which == index]) for index, stream in enumerate(streams)]

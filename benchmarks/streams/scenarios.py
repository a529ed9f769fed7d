"""The traffic that is compared: each kind of tick stream has a unary counterpart with as many requests in flight."""

from __future__ import annotations

import dataclasses

from benchmarks.load.plan import Plan, Traffic
from benchmarks.peers.export import Material
from benchmarks.streams.plan import StreamPlan

# A deadline that nothing here misses: throughput is asked for, not what is refused.
_TIMEOUT = 10.0
UNARY_OPEN = "unary_open"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One kind of traffic.

    Attributes:
        name: In the results.
        title: In the report.
        streams: How many; 0: unary calls.
        in_flight: Symbols, or unary callers.
        connections: HTTP/2 connections.
        unary: Name of the counterpart in a closed loop; its own name for a unary one.
    """

    name: str
    title: str
    streams: int
    in_flight: int
    connections: int
    unary: str


def _unary(in_flight: int) -> Shape:
    name = f"unary_{in_flight}"
    return Shape(
        name=name,
        title=f"unary, {in_flight} in flight",
        streams=0,
        in_flight=in_flight,
        connections=1 if in_flight == 1 else 4,
        unary=name,
    )


def _streams(count: int) -> Shape:
    return Shape(
        name=f"streams_{count}",
        title="1 stream" if count == 1 else f"{count} streams",
        streams=count,
        in_flight=count,
        connections=1 if count == 1 else 4,
        unary=f"unary_{count}",
    )


ALL_SYMBOLS = Shape(
    name="symbols_1000",
    title="1,000 symbols on 1 stream",
    streams=1,
    in_flight=1000,
    connections=1,
    unary="unary_1000",
)
STREAMS_64 = _streams(64)
UNARY_64 = _unary(64)
CLOSED = (
    _unary(1),
    _streams(1),
    UNARY_64,
    STREAMS_64,
    _unary(500),
    _streams(500),
    _unary(1000),
    ALL_SYMBOLS,
)


def stream_plan(
    shape: Shape, *, target: str, bars: str, material: Material, warm_up: float, duration: float, rate: float = 0.0
) -> StreamPlan:
    """Returns the plan of a stream shape: a closed loop, or an open one with `rate` ticks per second."""
    return StreamPlan(
        name=shape.name,
        target=target,
        bars=bars,
        model=material.model,
        symbols=shape.in_flight,
        streams=shape.streams,
        connections=shape.connections,
        rate=rate,
        valid_duration=_TIMEOUT,
        warm_up=warm_up,
        duration=duration,
    )


def unary_plan(
    shape: Shape,
    *,
    target: str,
    material: Material,
    warm_up: float,
    duration: float,
    first_window: int,
    rate: float = 0.0,
) -> Plan:
    """Returns the plan of a unary shape: a closed loop, or an open one with `rate` calls per second."""
    traffic = Traffic(
        name=shape.name,
        priority="standard",
        deadline=_TIMEOUT,
        rpc_timeout=_TIMEOUT,
        callers=0 if rate else shape.in_flight,
        rate=rate,
        connections=shape.connections,
    )
    return Plan(
        target=target,
        traffic=(traffic,),
        warm_up=warm_up,
        duration=duration,
        windows=str(material.windows),
        first_window=first_window,
        feature_schema=material.feature_schema,
        model=material.model,
    )

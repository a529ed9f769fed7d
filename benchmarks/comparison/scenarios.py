"""What is asked of a server; every server that can be asked gets the same bytes.

Times are short because servers take turns: what varies from round to round is told as a spread, not averaged away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmarks.comparison.networks import Network
from benchmarks.load.plan import Traffic
from benchmarks.peers import catalogue

# A deadline that nothing misses, where throughput is asked for and not what is refused.
_PATIENCE = 10.0
PROBE_DEADLINE = 0.05
_PROBE_RATE = 20.0
_BACKGROUND_CALLERS = 128
_BURST = 96
_BURST_EVERY = 1.0
_BURST_DEADLINE = 0.25
OVERLOAD = 2.0
# Class, share of the arrivals, deadline.
_OVERLOAD_MIX = (("real_time", 0.1, 0.05), ("standard", 0.6, 0.25), ("background", 0.3, 1.0))
# A caller with a deadline runs on a machine of its own; here it would wait for a core, and the server would be blamed.
_PROBE_NICENESS = -10

_SERVICE = (catalogue.AS_SHIPPED, catalogue.SAME_ENGINE)
_BATCHING = (catalogue.STOCK, catalogue.STOCK_HAPROXY, catalogue.TRITON)
_ALL = (*_SERVICE, *_BATCHING, catalogue.BARE)
_AND_ECHO = (*_ALL, catalogue.ECHO)
_AND_ECHOES = (*_AND_ECHO, catalogue.INGRESS_ECHO)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The traffic of one generator process."""

    traffic: Traffic
    niceness: int = 0


Loads = Callable[[float], tuple[Load, ...]]
"""From what the server answered a second with 64 calls in flight, to what it is sent."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the report.

    Attributes:
        name: In the results.
        title: In the report.
        network: What is served.
        loads: What is sent.
        servers: Who is asked.
        figure: What servers are compared by: "p50_ms" (less is better), "per_second" or "goodput" (more is).
        of: The traffic that the figure is of.
        stretch: How many times as long it is measured as others, for a figure that needs more calls.
    """

    name: str
    title: str
    network: Network
    loads: Loads
    servers: tuple[str, ...] = _ALL
    figure: str = "per_second"
    of: str = "calls"
    stretch: float = 1.0


def _closed(callers: int, *, streams: int = 0, connections: int = 4) -> Loads:
    traffic = Traffic(
        name="calls",
        priority="standard",
        deadline=_PATIENCE,
        rpc_timeout=_PATIENCE,
        callers=callers,
        streams=streams,
        connections=1 if callers == 1 else connections,
    )
    return lambda _: (Load(traffic=traffic),)


def _background(_: float) -> tuple[Load, ...]:
    background = Traffic(
        name="background",
        priority="background",
        deadline=3 * _PATIENCE,
        rpc_timeout=3 * _PATIENCE,
        callers=_BACKGROUND_CALLERS,
        connections=4,
    )
    return (Load(traffic=background),)


def _saturated(capacity: float) -> tuple[Load, ...]:
    probe = Traffic(
        name="probe", priority="real_time", deadline=PROBE_DEADLINE, rpc_timeout=_PATIENCE, rate=_PROBE_RATE
    )
    return (*_background(capacity), Load(traffic=probe, niceness=_PROBE_NICENESS))


def _burst(capacity: float) -> tuple[Load, ...]:
    usual = Traffic(
        name="usual",
        priority="background",
        deadline=_PATIENCE,
        rpc_timeout=_PATIENCE,
        rate=max(1.0, 0.25 * capacity),
        arrivals="poisson",
        connections=4,
    )
    opening = Traffic(
        name="opening",
        priority="real_time",
        deadline=_BURST_DEADLINE,
        rpc_timeout=_PATIENCE,
        burst_size=_BURST,
        burst_interval=_BURST_EVERY,
        connections=4,
    )
    return (Load(traffic=usual), Load(traffic=opening, niceness=_PROBE_NICENESS))


def _overloaded(capacity: float) -> tuple[Load, ...]:
    return tuple(
        Load(
            traffic=Traffic(
                name=name,
                priority=name,  # type: ignore[arg-type]  # the mix names classes
                deadline=deadline,
                rpc_timeout=deadline + 2.0,
                rate=max(1.0, OVERLOAD * capacity * share),
                arrivals="poisson",
                connections=2,
            )
        )
        for name, share, deadline in _OVERLOAD_MIX
    )


def _two_versions(_: float) -> tuple[Load, ...]:
    return tuple(
        Load(
            traffic=Traffic(
                name=f"version_{version}",
                priority="standard",
                deadline=_PATIENCE,
                rpc_timeout=_PATIENCE,
                callers=32,
                connections=2,
                version=version,
            )
        )
        for version in (1, 2)
    )


CAPACITY = "unary_64"
"""The scenario that tells what a server can do; it comes first."""

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name=CAPACITY, title="unary, 64 in flight", network=Network.REAL, loads=_closed(64), servers=_AND_ECHOES),
    Scenario(name="unary_1", title="unary, 1 in flight", network=Network.REAL, loads=_closed(1), figure="p50_ms"),
    Scenario(name="unary_8", title="unary, 8 in flight", network=Network.REAL, loads=_closed(8)),
    Scenario(
        name="streams_64",
        title="64 streams",
        network=Network.REAL,
        loads=_closed(64, streams=64),
        servers=_AND_ECHOES,
    ),
    Scenario(name="streams_300", title="300 streams", network=Network.REAL, loads=_closed(300, streams=300)),
    Scenario(
        name="saturated",
        title="real-time probes while background saturates: in 50 ms",
        network=Network.REAL,
        loads=_saturated,
        figure="goodput",
        of="probe",
        stretch=4.0,
    ),
    Scenario(
        name="background",
        title="background alone, as beside the probes",
        network=Network.REAL,
        loads=_background,
        servers=(*_SERVICE, *_BATCHING),
        of="background",
        stretch=2.0,
    ),
    Scenario(
        name="burst",
        title="96 real-time calls at once each second: in 250 ms",
        network=Network.REAL,
        loads=_burst,
        figure="goodput",
        of="opening",
    ),
    Scenario(
        name="overload",
        title="twice its own capacity, three classes: real-time in 50 ms",
        network=Network.REAL,
        loads=_overloaded,
        figure="goodput",
        of="real_time",
    ),
    Scenario(
        name="null_1",
        title="hardly a network, 1 in flight",
        network=Network.NULL,
        loads=_closed(1),
        servers=_AND_ECHOES,
        figure="p50_ms",
    ),
    Scenario(
        name="null_64",
        title="hardly a network, 64 in flight",
        network=Network.NULL,
        loads=_closed(64),
        servers=_AND_ECHO,
    ),
    Scenario(
        name="null_streams_64",
        title="hardly a network, 64 streams",
        network=Network.NULL,
        loads=_closed(64, streams=64),
        servers=_AND_ECHO,
    ),
    Scenario(
        name="versions",
        title="hardly a network, two versions of it, 64 in flight",
        network=Network.NULL,
        loads=_two_versions,
        servers=_SERVICE,
        of="version_2",
    ),
    Scenario(
        name="slow_16",
        title="a network four times as slow, 16 in flight",
        network=Network.SLOW,
        loads=_closed(16),
        servers=(*_SERVICE, *_BATCHING),
    ),
    Scenario(
        name="wide_8",
        title="1 MB messages, 8 in flight",
        network=Network.WIDE,
        loads=_closed(8),
        servers=(*_SERVICE, *_BATCHING, catalogue.BARE, catalogue.ECHO),
    ),
)


def served_by(network: Network) -> tuple[str, ...]:
    """Returns the servers that any scenario of a network asks, in the catalogue's order."""
    asked = {server for each in SCENARIOS if each.network is network for server in each.servers}
    return tuple(server for server in _AND_ECHOES if server in asked)

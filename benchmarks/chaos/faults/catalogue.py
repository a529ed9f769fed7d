"""The table of all faults, in the order of the report: each in its long form, and those of the short form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.chaos.faults.fault import Fault, NoFault
from benchmarks.chaos.faults.machine import ClockJumped, DescriptorsExhausted, LogFolderFull
from benchmarks.chaos.faults.processes import (
    ControllerKilled,
    HeadKilled,
    ProxyKilled,
    ReplicaFrozen,
    ReplicaKilled,
    ReplicaStopped,
)
from benchmarks.chaos.faults.scaling import Scaled
from benchmarks.chaos.faults.stores import RedisEmptied, RedisRestarted
from benchmarks.chaos.faults.strangers import Http1, IdleConnections, RandomBytes, SlowLoris

Maker = Callable[[], Fault]

# The GCS last: after it the service is another one.
LONG: Mapping[str, Maker] = {
    made.name: made
    for made in (
        NoFault,
        ReplicaKilled,
        ReplicaStopped,
        ReplicaFrozen,
        ProxyKilled,
        ControllerKilled,
        RedisRestarted,
        RedisEmptied,
        DescriptorsExhausted,
        SlowLoris,
        IdleConnections,
        RandomBytes,
        Http1,
        LogFolderFull,
        ClockJumped,
        Scaled,
        HeadKilled,
    )
}


def _held(maker: Maker, seconds: float) -> Maker:
    def make() -> Fault:
        fault = maker()
        fault.hold = seconds
        return fault

    return make


# What a minute or two can show: each kind of harm once, none that takes Ray long to mend by itself.
SHORT: Mapping[str, Maker] = {
    "replica_killed": _held(ReplicaKilled, 2),
    "replica_stopped": _held(ReplicaStopped, 4),
    "redis_restarted": _held(RedisRestarted, 2),
    "redis_emptied": _held(RedisEmptied, 2),
    "descriptors_exhausted": _held(DescriptorsExhausted, 3),
    "slow_loris": _held(lambda: SlowLoris(50), 3),
    "idle_connections": _held(lambda: IdleConnections(500), 3),
    "random_bytes": _held(RandomBytes, 3),
    "http1": _held(Http1, 2),
    "scaled": lambda: Scaled(events=2, streams=30),
}

"""Owns the shared parts of a deployment: what one of each can carry, how many a load needs, and which fills up first.

What grows with the replicas (engines, event loops, memory of windows) is no bottleneck: the plan adds replicas. What is
there once unless somebody adds more of it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from planning.budgets import Budgets, EngineBudget
from planning.demand import Demand
from planning.planning_error import InvalidBudgetsError

ENTRY_PROXY = "HAProxy of one entry node"
ENTRY_NETWORK = "network of one entry node"


@dataclass(frozen=True, kw_only=True)
class Component:
    """One shared part under one load.

    Attributes:
        name: In words.
        carries: Predictions a second that one of it carries with this demand's mix; `inf` if it is not used.
        load: Predictions a second that are asked for.
        arithmetic: How `carries` comes about, with its numbers.
        remedy: How there can be more of it.
    """

    name: str
    carries: float
    load: float
    arithmetic: str
    remedy: str

    @property
    def utilisation(self) -> float:
        """Part of one that the load fills; above 1: one does not do."""
        return self.load / self.carries

    @property
    def needed(self) -> int:
        """How many of it the load needs."""
        return max(1, math.ceil(self.utilisation - 1e-9))


def components(demand: Demand, budgets: Budgets, *, rate: float, replica_rate: float, redis: bool) -> list[Component]:
    """Return the shared parts, the one that fills up first at the head.

    Args:
        demand: Its mix of unary calls and ticks is kept at any rate.
        budgets: What each part costs.
        rate: Predictions a second, unary and ticks together.
        replica_rate: What one replica is given.
        redis: Whether the streams' windows are kept in a Redis.
    """
    ticks, value = demand.tick_share, budgets.value
    proxy = _mixed(ticks, value("haproxy_unary_seconds"), value("haproxy_tick_seconds"))
    cores, share = value("haproxy_cores"), value("haproxy_share")
    size = _mixed(ticks, value("unary_bytes"), value("tick_bytes"))
    network = value("node_network_bytes")
    controller, controller_share = value("controller_replica_seconds"), value("controller_share")
    found = [
        Component(
            name=ENTRY_PROXY,
            carries=_over(cores * share, proxy),
            load=rate,
            arithmetic=f"{cores:g} threads x {share:g} / {1e6 * proxy:.4g} us",
            remedy="spread callers over more nodes' proxies; more threads with RAY_SERVE_HAPROXY_NBTHREAD",
        ),
        Component(
            name=ENTRY_NETWORK,
            # Each byte comes in from the caller and goes out to a replica on another node, or the other way round.
            carries=_over(network, size),
            load=rate,
            arithmetic=f"{network / 1e9:.4g} GB/s each way / {size:,.0f} bytes",
            remedy="spread callers over more nodes' proxies; symbols or ticks instead of windows on the wire",
        ),
        Component(
            name="Ray Serve's controller",
            carries=_over(controller_share, controller) * replica_rate,
            load=rate,
            arithmetic=f"{controller_share:g} of a core / {1e3 * controller:.3g} ms a replica and second x "
            f"{replica_rate:.0f}/s a replica",
            remedy="several clusters behind one load balancer; larger replicas",
        ),
    ]
    if redis and ticks:
        seconds, redis_share = value("redis_tick_seconds") * ticks, value("redis_share")
        found.append(
            Component(
                name="Redis of the windows",
                carries=_over(redis_share, seconds),
                load=rate,
                arithmetic=f"{redis_share:g} of a core / "
                f"({1e6 * value('redis_tick_seconds'):.4g} us a tick x {ticks:.3g} of the load)",
                remedy="a Redis for each part of the symbols, and a service in front of each",
            )
        )
    return sorted(found, key=lambda part: part.carries)


def first_bottleneck(parts: Sequence[Component]) -> Component | None:
    """Return the first of the parts, as `components` has them, if the load is more than one of it carries."""
    return parts[0] if parts[0].utilisation > 1.0 else None


def loop_rate(demand: Demand, budgets: Budgets) -> float:
    """Return the predictions a second that one replica's event loop may be given with this demand's mix."""
    seconds = _mixed(demand.tick_share, budgets.value("loop_unary_seconds"), budgets.value("loop_tick_seconds"))
    return _over(budgets.value("loop_share"), seconds)


def memory_rate(demand: Demand, budgets: Budgets) -> float:
    """Return the predictions a second whose streams one replica may hold: a node's memory, with its proxy, bounds them.

    Raises:
        InvalidBudgetsError: A node does not hold a replica.
    """
    room = budgets.value("node_bytes") - budgets.value("replica_bytes")
    if room <= 0.0:
        raise InvalidBudgetsError(
            "--budgets",
            f"a replica takes {budgets.value('replica_bytes'):,.0f} bytes (replica_bytes), a node has "
            f"{budgets.value('node_bytes'):,.0f} (node_bytes); give nodes that hold one",
        )
    held = _stream_bytes(budgets) + budgets.value("haproxy_stream_bytes")
    return _over(room, demand.streams * held / demand.total_rate)


def replica_memory(budgets: Budgets, *, streams: float) -> float:
    """Return the bytes of one replica that holds so many streams, with a window of each."""
    return budgets.value("replica_bytes") + streams * _stream_bytes(budgets)


def replicas_per_node(
    engine: EngineBudget, budgets: Budgets, demand: Demand, *, replica_rate: float, streams: float
) -> int:
    """Return how many replicas fit a node beside its proxy, which carries what they answer; at least one.

    Args:
        engine: Of the replicas.
        budgets: What a node has, and what each part takes.
        demand: Its mix of unary calls and ticks.
        replica_rate: Predictions a second of one replica.
        streams: Of one replica; the node's proxy holds as many for each replica on it.

    Raises:
        InvalidBudgetsError: A replica takes more GPUs than a node has.
    """
    proxy = replica_rate * _mixed(
        demand.tick_share, budgets.value("haproxy_unary_seconds"), budgets.value("haproxy_tick_seconds")
    )
    by_cpu = budgets.value("node_cpus") / (engine.cpus + proxy)
    whole = replica_memory(budgets, streams=streams) + streams * budgets.value("haproxy_stream_bytes")
    by_memory = budgets.value("node_bytes") / whole
    return max(1, math.floor(min(by_cpu, by_memory, _by_gpu(engine, budgets))))


def _by_gpu(engine: EngineBudget, budgets: Budgets) -> float:
    gpus, node_gpus = engine.gpus, budgets.value("node_gpus")
    if gpus > node_gpus:
        raise InvalidBudgetsError(
            "--budgets",
            f"a replica takes {gpus:g} GPU, a node has {node_gpus:g} (node_gpus); give larger ones, or a lower --gpus",
        )
    if gpus == 0.0:
        return math.inf
    # A part of a GPU is a part of one: what is left over of two does not make a third.
    return node_gpus * math.floor(1.0 / gpus + 1e-9) if gpus < 1.0 else node_gpus / gpus


def _stream_bytes(budgets: Budgets) -> float:
    return budgets.value("stream_bytes") + budgets.value("window_bytes")


def _mixed(ticks: float, unary_cost: float, tick_cost: float) -> float:
    return (1.0 - ticks) * unary_cost + ticks * tick_cost


def _over(capacity: float, cost: float) -> float:
    return capacity / cost if cost > 0.0 else math.inf

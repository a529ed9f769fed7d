"""What settings may not leave to the machine that prints them, where they are for a cluster's other machines.

Pure: says what is wrong and the remedy; knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from server.config.security_settings import is_loopback
from server.config.settings import Settings


class ClusterSettingsError(Exception):
    """The settings would not mean the same on every node. The message names the keys and the remedies."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("These settings are not for a cluster: " + "; ".join(faults) + ".")


def cluster_faults(settings: Settings, *, one_node: bool) -> list[str]:
    """Returns what is wrong with the settings for a cluster, each with its remedy; none where nothing is.

    Args:
        settings: As an operator wrote them.
        one_node: Whether the cluster is one machine for good, so that nothing needs to be shared between machines.
    """
    faults = list(_taken_from_this_machine(settings))
    return faults if one_node else faults + list(_not_shared(settings))


def cluster_notes(settings: Settings, *, one_node: bool) -> list[str]:
    """Returns what an operator should know of settings that have no faults; nothing of it stops anything."""
    notes = []
    most = settings.autoscaling.most_replicas(settings.replicas)
    if not one_node and most > 1 and settings.windows.store == "memory":
        notes.append(
            "windows.allow_split: each replica keeps windows of its own, and calls go to any; tick streams and "
            "predictions by symbol will be wrong"
        )
    if settings.tls.enabled:
        notes.append(
            "tls.cert: Ray Serve runs no TLS edge; put one before it, with the same TICKSERVE_EDGE_SECRET in its "
            "environment and in the node's before `ray start` (docs/cluster.md)"
        )
    if any("@" in url for url in _redis_urls(settings)):
        notes.append("a Redis URL holds a password, and this output with it; put it into redis_password_file instead")
    return notes


def _taken_from_this_machine(settings: Settings) -> Iterator[str]:
    if not (settings.replica_cpus or settings.autoscaling.cpus()):
        yield "replica_cpus: 0 counts the CPUs of the machine that prints this; set how many a replica has"
    for name, path in _paths(settings):
        # A home is each node's own, and what is kept there is, too.
        if not path.is_absolute() and not (name == "models.compiled_cache" and path.parts[:1] == ("~",)):
            yield f"{name}: {path} depends on the directory or the user; set an absolute path that every node has"


def _not_shared(settings: Settings) -> Iterator[str]:
    if settings.tls.enabled:
        yield (
            "tls.cert: Ray Serve runs no TLS edge, and would listen on loopback for one; leave tls out, run `tickserve "
            "edge` before the nodes, and put TICKSERVE_EDGE_SECRET into the environment of all (docs/cluster.md)"
        )
    elif is_loopback(settings.host):
        yield (
            f"host: {settings.host} is loopback, where other nodes' proxies do not reach a replica's HTTP side; set "
            "it to 0.0.0.0 and keep strangers off (docs/cluster.md), or say --one-node"
        )
    shares_redis = settings.windows.store == "redis"
    if not shares_redis and not settings.halts.redis_url and settings.halts.folder is None:
        yield (
            "halts: each node would have a kill switch of its own; set halts.redis_url, or windows.store to redis with "
            "windows.redis_url, or halts.folder to a folder on a disk that all nodes share"
        )
    for name, url in (
        ("windows", settings.windows.redis_url if shares_redis else ""),
        ("halts", settings.halts.redis_url),
        ("limits", settings.limits.redis_url),
        ("cache", settings.cache.redis_url),
    ):
        if url.startswith("unix://"):
            yield f"{name}.redis_url: a socket is one machine's; name a host that every node reaches"
        elif _is_local(url):
            yield f"{name}.redis_url: loopback is another Redis on each node; name a host that every node reaches"


def _paths(group: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yields every path among the settings with its dotted name."""
    for name, value in group:
        if isinstance(value, Path):
            yield f"{prefix}{name}", value
        elif isinstance(value, BaseModel):
            yield from _paths(value, f"{prefix}{name}.")


def _is_local(url: str) -> bool:
    hosts = url.partition("://")[2].rpartition("@")[2].partition("/")[0]
    # Several, where Sentinels are named; an IPv6 address stands in brackets.
    return any(is_loopback(host.rpartition(":")[0].strip("[]") or host) for host in hosts.split(",") if host)


def _redis_urls(settings: Settings) -> Iterator[str]:
    yield from (settings.windows.redis_url, settings.halts.redis_url)
    yield from (settings.limits.redis_url, settings.cache.redis_url)

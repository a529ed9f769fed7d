"""Laws of settings for a cluster: what would mean something else on another machine is refused by its key."""

from typing import Any

import pytest

from server.config.cluster_faults import cluster_faults, cluster_notes
from server.config.given_settings import GivenSettings
from server.config.settings import Settings

REDIS = {"store": "redis", "redis_url": "redis://redis.internal:6379/0"}


def settings_with(**overrides: Any) -> Settings:
    """Returns settings of a cluster, with some of them replaced."""
    values: dict[str, Any] = {
        "host": "0.0.0.0",
        "security": {"allow_insecure_public_bind": True},
        "registry": "/srv/registry",
        "replica_cpus": 2.0,
        "windows": REDIS,
    }
    return GivenSettings(**values | overrides)


def test_settings_of_a_cluster_have_no_faults() -> None:
    """Neither several nodes nor one; nothing to note, either."""
    for one_node in (False, True):
        assert cluster_faults(settings_with(), one_node=one_node) == []
        assert cluster_notes(settings_with(), one_node=one_node) == []


@pytest.mark.parametrize(
    ("overrides", "key", "remedy"),
    [
        ({"replica_cpus": 0}, "replica_cpus", "set how many"),
        ({"registry": "registry"}, "registry", "absolute path"),
        ({"model_path": "m.pth"}, "model_path", "absolute path"),
        ({"halts": {"folder": "~/halts"}}, "halts.folder", "absolute path"),
        ({"decisions": {"mode": "best_effort", "path": "log"}}, "decisions.path", "absolute path"),
        ({"models": {"compiled_cache": "cache"}}, "models.compiled_cache", "absolute path"),
        (
            {"security": {"keys_file": "~/keys", "allow_insecure_public_bind": True}},
            "security.keys_file",
            "absolute path",
        ),
    ],
)
def test_nothing_is_taken_from_the_machine_that_prints(overrides: dict[str, Any], key: str, remedy: str) -> None:
    """The fault names key and remedy, for one node as for several."""
    for one_node in (False, True):
        [fault] = cluster_faults(settings_with(**overrides), one_node=one_node)
        assert fault.startswith(f"{key}: ")
        assert remedy in fault


@pytest.mark.parametrize(
    ("overrides", "key", "remedy"),
    [
        ({"host": "127.0.0.1"}, "host", "0.0.0.0"),
        ({"tls": {"cert": "/c.pem", "key": "/k.pem"}}, "tls.cert", "TICKSERVE_EDGE_SECRET"),
        ({"windows": {}}, "halts", "halts.redis_url"),
        ({"windows": {"store": "redis", "redis_url": "redis://localhost:6379"}}, "windows.redis_url", "every node"),
        ({"windows": {"store": "redis", "redis_url": "unix:///run/redis"}}, "windows.redis_url", "every node"),
        ({"cache": {"redis_url": "redis://u:p@127.0.0.1:6379/1"}}, "cache.redis_url", "every node"),
        ({"limits": {"redis_url": "rediss://[::1]:6379/1"}}, "limits.redis_url", "every node"),
        ({"halts": {"redis_url": "redis://127.8.8.8"}}, "halts.redis_url", "every node"),
    ],
)
def test_several_nodes_share_what_they_must(overrides: dict[str, Any], key: str, remedy: str) -> None:
    """On one node for good the same settings will do."""
    [fault] = cluster_faults(settings_with(**overrides), one_node=False)
    assert fault.startswith(f"{key}: ")
    assert remedy in fault
    assert cluster_faults(settings_with(**overrides), one_node=True) == []


@pytest.mark.parametrize("halts", [{"redis_url": "redis://redis.internal"}, {"folder": "/shared/halts"}])
def test_a_kill_switch_may_be_shared_without_the_windows_redis(halts: dict[str, str]) -> None:
    """Through a Redis of its own, or a folder that the operator says all nodes share."""
    assert cluster_faults(settings_with(windows={}, halts=halts), one_node=False) == []


def test_a_redis_that_windows_do_not_use_is_not_looked_at() -> None:
    """Its address stands in the settings and means nothing."""
    windows = {"store": "memory", "redis_url": "redis://localhost:6379"}
    halts = {"redis_url": "redis://redis.internal:6379/0"}
    assert cluster_faults(settings_with(windows=windows, halts=halts), one_node=False) == []


def test_a_home_is_each_nodes_own() -> None:
    """The default folder of compiled models stays as it is written."""
    assert str(settings_with().models.compiled_cache) == "~/.cache/tickserve"


@pytest.mark.parametrize(
    ("overrides", "one_node", "note"),
    [
        ({"windows": {**REDIS, "redis_url": "redis://:pw@redis.internal"}}, False, "redis_password_file"),
        ({"tls": {"cert": "/c.pem", "key": "/k.pem"}}, True, "TICKSERVE_EDGE_SECRET"),
        (
            {"windows": {"allow_split": True}, "replicas": 2, "halts": {"folder": "/shared"}},
            False,
            "windows.allow_split",
        ),
    ],
)
def test_what_may_surprise_is_noted(overrides: dict[str, Any], one_node: bool, note: str) -> None:
    """It stops nothing, and never repeats a password."""
    settings = settings_with(**overrides)
    assert cluster_faults(settings, one_node=one_node) == []
    [told] = cluster_notes(settings, one_node=one_node)
    assert note in told
    assert "pw" not in told.replace("password", "")

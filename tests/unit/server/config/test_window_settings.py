"""The windows' settings: what contradicts itself is refused by name, and no password is repeated."""

import pytest
from pydantic import ValidationError

from server.config.window_settings import WindowSettings


def test_the_default_needs_nothing() -> None:
    """Windows live in memory, and no store is named."""
    assert (WindowSettings().store, WindowSettings().redis_url) == ("memory", "")


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://u:p@h/1", "unix:///run/redis.sock"])
def test_a_redis_is_named_by_its_address(url: str) -> None:
    """With and without TLS, or by a socket."""
    assert WindowSettings(store="redis", redis_url=url).redis_url == url


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"store": "redis"}, "redis_url"),
        ({"store": "redis", "redis_url": "http://u:secret@h"}, "redis_url"),
        ({"store": "disk"}, "store"),
        ({"resume_depth": -1}, "resume_depth"),
        ({"lateness_bound": float("inf")}, "lateness_bound"),
        ({"lateness_bound": -1.0}, "lateness_bound"),
        ({"time_to_live": 1.0}, "time_to_live"),
        ({"flush_interval": 2.0}, "flush_interval"),
        ({"read_timeout": 0.0}, "read_timeout"),
        ({"write_timeout": 0.0}, "write_timeout"),
        ({"redis_connections": 1}, "redis_connections"),
        ({"ttl": 1.0}, "ttl"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], named: str) -> None:
    """The message names the setting."""
    with pytest.raises(ValidationError) as caught:
        WindowSettings.model_validate(values)
    [error] = caught.value.errors()
    assert named in error["msg"] or named in error["loc"]
    assert "secret" not in error["msg"]


def test_an_address_is_not_shown() -> None:
    """It may hold a password, and settings are printed; as JSON, to the replicas, it travels."""
    settings = WindowSettings(store="redis", redis_url="redis://:secret@h:6379/0")
    assert "secret" not in repr(settings)
    assert WindowSettings.model_validate_json(settings.model_dump_json()) == settings

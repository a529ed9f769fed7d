"""Laws of the cache's settings: a value that cannot be meant is refused by its name, and no password is printed."""

import pytest
from pydantic import ValidationError

from server.config.cache_settings import CacheSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_bytes", 1000),
        ("ttl", 0),
        ("ttl", float("nan")),
        ("redis_url", "http://host"),
        ("redis_url", "redis:// host"),
        ("redis_timeout", 0),
        ("redis_timeout", 1),
        ("redis_ttl", -1),
        ("request_id_window", -1),
        ("request_id_entries", 0),
        ("request_id_bytes", 0),
        ("max_size", 1),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: object) -> None:
    """With the setting's name."""
    with pytest.raises(ValidationError, match=name):
        CacheSettings(**{name: value})  # type: ignore[arg-type]


def test_a_second_level_needs_the_first() -> None:
    """And the message says what to do."""
    with pytest.raises(ValidationError, match=r"set cache\.enabled"):
        CacheSettings(enabled=False, redis_url="redis://host")


@pytest.mark.parametrize("url", ["redis://host:6379/0", "rediss://user:word@host", "unix:///run/redis.sock"])
def test_a_redis_is_named_by_its_url(url: str) -> None:
    """A password in it is not printed with the settings."""
    settings = CacheSettings(redis_url=url)
    assert settings.redis_url == url
    assert "word" not in repr(settings)

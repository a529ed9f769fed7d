"""Types of the settings that say where a Redis is, and how it is entered. The forms are `redis_url`'s."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from server.config.fields import OptionalPath
from server.redis_url import parse_redis_url


def _checked(url: str) -> str:
    if url:
        parse_redis_url(url)
    return url


RedisUrl = Annotated[str, AfterValidator(_checked)]
"""A setting that names a Redis; empty: none."""

RedisPasswordFile = Annotated[
    OptionalPath,
    Field(
        description="File with the password of every Redis whose address has none, the same path on every node; read "
        "anew for each connection. Settings travel through Ray, where others may read them: the path does, the "
        "password does not"
    ),
]
"""A setting that names the file with the password of all Redises."""

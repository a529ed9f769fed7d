"""The address of a Redis, as an operator writes it: one server, or the Sentinels that know which server it is today.

Owns the forms and what they mean. Knows no client library and connects to nothing. No message of this module repeats an
address: it may hold a password.

    redis://[user[:password]@]host[:6379][/database][?option=value]       rediss:// for TLS, unix:///path for a socket
    redis+sentinel://[user[:password]@]host[:26379],host[:26379],.../service[/database][?option=value]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

FORMS: Final = (
    "redis://host:6379/0, rediss://..., unix:///path or redis+sentinel://host:26379,host2:26379/service/0 "
    "(rediss+sentinel:// with TLS)"
)
SENTINEL_PORT: Final = 26379
_DIRECT: Final = ("redis", "rediss", "unix")
_SENTINEL: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_SENTINEL_AUTH: Final = "sentinel_auth"
# A host or [IPv6], and perhaps a port.
_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:@/,\[\]]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, kw_only=True)
class RedisPlace:
    """What an address says.

    Attributes:
        url: As client libraries take it: `redis://`, `rediss://` or `unix://`. Where there are Sentinels its host is
            one of them, and only scheme, user, password, database and options count.
        sentinels: Host and port of each; empty for a Redis whose place does not change.
        service: What the Sentinels call the Redis; empty without Sentinels.
        sentinel_auth: Whether the Sentinels are shown the same user and password.
        user: Name in the address; empty for none.
        has_password: Whether the address itself holds a password.
    """

    url: str = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_auth: bool = False
    user: str = ""
    has_password: bool = False

    @property
    def is_encrypted(self) -> bool:
        """Whether connections are TLS."""
        return self.url.startswith("rediss:")


def parse_redis_url(url: str) -> RedisPlace:
    """Returns what an address says.

    Raises:
        ValueError: It has none of the forms. The message does not repeat it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or re.search(r"\s", url) or scheme not in (*_DIRECT, *_SENTINEL):
        raise ValueError(f"a Redis is named as {FORMS}")
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    known = {"user": unquote(user), "has_password": bool(password)}
    if scheme in _DIRECT:
        return RedisPlace(url=url, **known)  # type: ignore[arg-type]
    sentinels = tuple(_sentinel(place) for place in places.split(","))
    service, database = _service(parts.path)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    shows = options.pop(_SENTINEL_AUTH, "false").lower()
    if shows not in ("true", "false"):
        raise ValueError(f"{_SENTINEL_AUTH} is true or false: whether Sentinels are shown the Redis's own password")
    host, port = sentinels[0]
    direct = f"{_SENTINEL[scheme]}://{f'{login}@' if login else ''}{_bracketed(host)}:{port}/{database}"
    return RedisPlace(
        url=f"{direct}?{urlencode(options)}" if options else direct,
        sentinels=sentinels,
        service=service,
        sentinel_auth=shows == "true",
        **known,  # type: ignore[arg-type]
    )


def _sentinel(place: str) -> tuple[str, int]:
    found = _PLACE.fullmatch(place)
    port = int(found["port"] or SENTINEL_PORT) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError(
            "Sentinels are hosts with ports, between commas: redis+sentinel://host:26379,host2:26379/service"
        )
    return unquote(found["host"].strip("[]")), port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _service(path: str) -> tuple[str, int]:
    names = [unquote(name) for name in path.removeprefix("/").split("/")]
    database = names[1] if len(names) > 1 and names[1] else "0"
    if not names[0] or len(names) > 2 or not database.isdecimal():
        raise ValueError(
            "behind the Sentinels stands what they call the Redis, and perhaps the number of a database: "
            "redis+sentinel://host:26379/mymaster/0"
        )
    return names[0], int(database)

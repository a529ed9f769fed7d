"""The one place where clients of a Redis are made: pools, passwords from files, and Sentinels that know the master.

Owns how a connection comes about, and when one is of no use any more. What is asked of the Redis, within what time, and
when it is tried again is its callers' affair: a connection fails at once, and the next one goes wherever the master is
by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from server.redis_url import RedisPlace, parse_redis_url

_SENTINEL_TIMEOUT: Final = 0.25
"""Seconds that a Sentinel has to be reached, and then to answer; then the next one is asked."""


def redis_client(url: str, *, password_file: Path | None = None, max_connections: int) -> Redis:
    """Returns a client; nothing is connected before the first command.

    It tries nothing twice and has no time limits: its user sets one limit for all that a command needs, the wait for a
    free connection included.

    Args:
        url: As `server.redis_url` has it. Is never logged.
        password_file: Holds the password where the address has none; read anew for each connection, so that another
            password needs no restart.
        max_connections: Most at once; who needs another one waits.
    """
    place = parse_redis_url(url)
    login = _FilePassword(password_file, place.user) if password_file and not place.has_password else None
    options: dict[str, Any] = _common() | {"max_connections": max_connections, "timeout": None}
    options |= parse_url(place.url)
    if login is not None:
        options |= {"username": None, "password": None, "credential_provider": login}
    if place.sentinels:
        return Redis.from_pool(_sentinel_pool(place, options))
    options["connection_class"] = _KINDS[options.get("connection_class", Connection)]
    return Redis.from_pool(BlockingConnectionPool(**options))


def _common() -> dict[str, Any]:
    return {
        # Whoever calls knows better whether and when to try again.
        "retry": Retry(NoBackoff(), 0),
        # A limit here would make redis send under `asyncio.wait_for`: a task for each command, and a cancellation that
        # comes in the wrong moment is lost.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        # No greetings beyond AUTH and SELECT: one round trip less for each new connection; and the library's version
        # would be read from disk, in the event loop.
        "protocol": 2,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _sentinel_pool(place: RedisPlace, options: dict[str, Any]) -> _MasterPool:
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    shown = {"username", "password", "credential_provider"} if place.sentinel_auth else set()
    asked = _common() | {"socket_timeout": _SENTINEL_TIMEOUT, "socket_connect_timeout": _SENTINEL_TIMEOUT}
    asked |= {name: value for name, value in options.items() if name in shown or name.startswith("ssl_")}
    sentinel = Sentinel(place.sentinels, sentinel_kwargs=asked | {"ssl": place.is_encrypted})  # type: ignore[no-untyped-call]
    kind = _MasterTls if place.is_encrypted else _Master
    return _MasterPool(place.service, sentinel, connection_class=kind, **options)  # type: ignore[no-untyped-call]


class _FilePassword(CredentialProvider):
    """Shows the password that a file holds at the moment.

    Args:
        path: Of the file: the password alone, and perhaps an end of line.
        user: Name to show; empty for none.
    """

    def __init__(self, path: Path, user: str) -> None:
        self._path = path.expanduser()
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Returns user and password, or the password alone.

        Raises:
            RedisConnectionError: The file cannot be read, or is empty.
        """
        try:
            password = self._path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
            raise RedisConnectionError(f"redis_password_file {self._path} cannot be read: {reason}") from None
        if not password:
            raise RedisConnectionError(f"redis_password_file {self._path} is empty")
        return (self._user, password) if self._user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Does it in a thread: a mounted file may be slow."""
        return await asyncio.to_thread(self.get_credentials)


if TYPE_CHECKING:
    _Base = Connection
else:
    _Base = object


class _OfMaster(_Base):
    """A connection that is given up as soon as its Redis turns out to be a replica: the master is elsewhere by now.

    Without that, a connection would stay with a demoted server, which answers, but takes no writes, for ever.
    """

    async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        """Connects; one that breaks off half-way, cancelled for instance, is not taken for connected."""
        try:
            await super().connect_check_health(*arguments, **options)
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Reads; a word of a replica's ends the connection."""
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            # Redis 6 reports it in the text of a script's error.
            if not isinstance(error, ReadOnlyError) and "READONLY" not in str(error):
                raise
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the Redis has become a replica, which takes no writes") from None


class _Tcp(_OfMaster, Connection):
    pass


class _Tls(_OfMaster, SSLConnection):
    pass


class _Socket(_OfMaster, UnixDomainSocketConnection):
    pass


class _Master(_OfMaster, SentinelManagedConnection):
    pass


class _MasterTls(_OfMaster, SentinelManagedSSLConnection):
    pass


_KINDS: Final = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Socket}


class _MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whichever server the Sentinels call the master.

    The library asks them in turn, and puts the first that answers in front. Here all who wait share one such look, and
    it goes on when they have run out of time: else Sentinels that are silent would be asked first again and again by
    callers of which none has the time to come to the one that answers.
    """

    _look: asyncio.Task[tuple[str, int]] | None = None

    async def get_master_address(self) -> tuple[str, int]:
        """Returns host and port of the master.

        Raises:
            MasterNotFoundError: No Sentinel answers, or none knows a master that is up.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._find())
            self._look.add_done_callback(_heed)
        return await asyncio.shield(self._look)

    async def _find(self) -> tuple[str, int]:
        """Asks the Sentinels, and gives up idle connections to a former master without a word to it.

        The library waits for each to close, which over TLS takes half a minute where that machine is gone, and here all
        would wait with it.
        """
        address: tuple[str, int] = await self.sentinel_manager.discover_master(self.service_name)
        if self.master_address != address:
            self.master_address = address
            for idle in list(self._available_connections):
                await idle.disconnect(nowait=True)
        return address

    async def aclose(self) -> None:
        """Ends the look and all connections, those to the Sentinels too. Idempotent."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        with contextlib.suppress(RedisConnectionError, OSError):
            await self.sentinel_manager.aclose()
        await super().aclose()


def _heed(look: asyncio.Task[tuple[str, int]]) -> None:
    """Takes note of how a look ended, although nobody may wait for it any more."""
    if not look.cancelled():
        look.exception()

"""What a replica shares with the others of its deployment, made from its settings. Decides where each is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.results.known_results import SharedResults
from server.results.redis_result_cache import RedisResultCache
from server.security.caller_limits import CallerLimits
from server.security.halt_file import HaltFile
from server.security.halt_redis import HaltRedis
from server.security.halt_store import HaltStore
from server.security.metadata_limit import process_metadata_limit
from server.security.redis_token_store import RedisTokenStore
from server.windows.memory_window_store import MemoryWindowStore
from server.windows.redis_window_store import RedisWindowStore
from server.windows.window_store import WindowStore


def connect_results(password_file: Path | None) -> Callable[[CacheSettings], SharedResults]:
    """Returns what makes the answers that replicas share, with the settings that are in force by then."""

    def connect(settings: CacheSettings) -> SharedResults:
        return RedisResultCache(
            settings.redis_url, password_file=password_file, ttl=settings.redis_ttl, timeout=settings.redis_timeout
        )

    return connect


def window_store(settings: Settings) -> WindowStore:
    """Returns where windows live."""
    if settings.windows.store == "redis":
        return RedisWindowStore(
            settings.windows, max_symbols=settings.max_symbols, password_file=settings.redis_password_file
        )
    return MemoryWindowStore(settings.windows, max_symbols=settings.max_symbols)


def halt_store(settings: Settings) -> HaltStore:
    """Returns where halts outlive replicas."""
    url = settings.halts.redis_url or (settings.windows.redis_url if settings.windows.store == "redis" else "")
    folder = settings.halts.folder or settings.registry / ".state"
    return HaltRedis(url, password_file=settings.redis_password_file) if url else HaltFile(folder.expanduser())


def caller_limits(live: LiveSettings) -> CallerLimits:
    """Returns what counts each caller's requests; shared through the windows' Redis, unless another one is named.

    The seam, which nobody can hand anything, is told of the limits in force, too.
    """
    process_metadata_limit.settings = lambda: live.current.limits
    settings = live.current
    url = settings.limits.redis_url or (settings.windows.redis_url if settings.windows.store == "redis" else "")
    return CallerLimits(
        lambda: live.current.limits,
        # Until they know of each other; with autoscaling there are at least so many.
        replicas=settings.autoscaling.fewest_replicas(settings.replicas),
        store=RedisTokenStore(url, password_file=settings.redis_password_file) if url else None,
    )

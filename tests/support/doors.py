"""Doors for tests: open to all, or to the holders of keys that a test has made."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.grant import Grant
from server.security.api_key import ApiKey, digest_of, new_secret, token_of
from server.security.authorizer import Authorizer
from server.security.key_file import write_keys
from server.security.key_ring import KeyRing
from server.security.refusal_tally import RefusalTally

EDGE_SECRET = "the-edge-of-this-very-start"


def open_to_all() -> Authorizer:
    """Returns an authorizer that asks nobody for a key."""
    authorizer = Authorizer()
    authorizer.open(ring=None)
    return authorizer


def made_key(key_id: str, *, methods: tuple[str, ...] = ("*",), **given: Any) -> tuple[str, ApiKey]:
    """Returns a key's token and the key; what is given are fields of the key, or of its grant."""
    secret = new_secret()
    own = {name: given.pop(name) for name in ("name", "created_at", "expires_at") if name in given}
    grant = Grant(**({"key_id": key_id, "owner": key_id} | given))
    return token_of(key_id, secret), ApiKey(sha256=digest_of(secret), grant=grant, methods=frozenset(methods), **own)


def written_keys(path: Path, *keys: tuple[str, ApiKey]) -> list[str]:
    """Writes a file of keys; returns their tokens."""
    write_keys(path, {key.id: key for _, key in keys})
    return [token for token, _ in keys]


def open_to(
    path: Path,
    *,
    edge_secret: str = "",
    reflection_is_open: bool = False,
    wall_clock: Callable[[], float] = lambda: 0.0,
    tally: RefusalTally | None = None,
) -> Authorizer:
    """Returns an authorizer that lets the holders of a file's keys in; it does not look at the file again by itself."""
    ring = KeyRing(path)
    ring.load()
    authorizer = Authorizer(wall_clock=wall_clock, tally=tally)
    authorizer.open(ring=ring, edge_secret=edge_secret, reflection_is_open=reflection_is_open)
    return authorizer


async def opened(path: Path, *keys: tuple[str, ApiKey], **options: Any) -> tuple[Authorizer, list[str]]:
    """Returns what `open_to` does, and the keys' tokens; for event loops, which must not wait for files."""

    def made() -> tuple[Authorizer, list[str]]:
        tokens = written_keys(path, *keys)
        return open_to(path, **options), tokens

    return await asyncio.to_thread(made)

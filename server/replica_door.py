"""Opens a replica's door as its settings say, and tells beforehand whether that will do. Wires; decides nothing."""

from __future__ import annotations

import asyncio
import os

from server.config.settings import Settings
from server.security.authorizer import Authorizer
from server.security.edge_identity import edge_secret
from server.security.key_file import read_keys
from server.security.key_ring import KeyRing


def require_keys(settings: Settings) -> None:
    """Reads the file of API keys once, so that whoever starts the service is told at once where it cannot be used.

    Raises:
        server.security.key_file.KeyFileError: It cannot.
    """
    path = settings.security.keys_file
    if settings.security.keys_required and path is not None:
        read_keys(path.expanduser())


async def open_door(authorizer: Authorizer, settings: Settings) -> None:
    """Lets those in who may call.

    Raises:
        server.security.key_file.KeyFileError: The API keys cannot be read.
        server.security.edge_identity.EdgeSecretError: The TLS edge could not be told from others.
    """
    path = settings.security.keys_file
    secret = edge_secret(os.environ, required=settings.tls.enabled)
    ring = KeyRing(path) if settings.security.keys_required and path is not None else None
    if ring is not None:
        await asyncio.to_thread(ring.load)
        ring.start()
    authorizer.open(ring=ring, edge_secret=secret, reflection_is_open=settings.reflection_is_open())

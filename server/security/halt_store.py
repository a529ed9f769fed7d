"""Where halts outlive replicas: what a store must do. A file on one machine, a Redis for several."""

from __future__ import annotations

from typing import Protocol

from server.security.halt import Halt, HaltScope
from server.security.halt_set import HaltSet


class HaltStoreError(Exception):
    """The store cannot be read, or has not taken a change. The message says where and why; it holds no secret."""


class HaltStore(Protocol):
    """Keeps the halts of a deployment. Each change is durable when its method returns, and changes never mix."""

    async def read(self) -> HaltSet:
        """Returns what is halted.

        Raises:
            HaltStoreError: It cannot be read.
        """
        ...

    async def halt(self, halt: Halt) -> HaltSet:
        """Adds a halt and returns all of them; see `HaltSet.halted`.

        Raises:
            HaltStoreError: It was not added, or nobody knows whether it was.
        """
        ...

    async def resume(self, scope: HaltScope) -> HaltSet:
        """Takes the halt of a scope out and returns the others; see `HaltSet.resumed`.

        Raises:
            HaltStoreError: It was not taken out, or nobody knows whether it was.
        """
        ...

    async def restore(self, known: HaltSet) -> HaltSet:
        """Brings halts back that the store has lost, and returns all of them; see `HaltSet.joined`.

        Changes nothing where the store's generation is at least that of `known`.

        Raises:
            HaltStoreError: Nobody knows whether they are back.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds. Idempotent."""
        ...

"""The versions in memory: who was used when, who may be forgotten. Pure state; knows no registry, thread or request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Set

from server.models.served_model import ServedModel

Key = tuple[str, int]
"""Name and version."""


class LoadedVersions(Mapping[Key, ServedModel]):
    """Versions by key, the least recently used first. Looking one up is no use of it: `use` is."""

    def __init__(self) -> None:
        self._served: OrderedDict[Key, ServedModel] = OrderedDict()
        self._used_at: dict[Key, float] = {}

    def __getitem__(self, key: Key) -> ServedModel:
        return self._served[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    @property
    def memory_bytes(self) -> int:
        """What all of them hold in memory."""
        return sum(served.memory_bytes for served in self._served.values())

    def add(self, key: Key, served: ServedModel, now: float) -> None:
        """Takes a version in, as the most recently used."""
        self._served[key] = served
        self.use(key, now)

    def use(self, key: Key, now: float) -> ServedModel | None:
        """Returns a version, which counts as used now; None if it is not there."""
        served = self._served.get(key)
        if served is not None:
            self._served.move_to_end(key)
            self._used_at[key] = now
        return served

    def forget(self, key: Key) -> None:
        """Lets a version go. Whoever computes with it still holds it."""
        self._served.pop(key, None)
        self._used_at.pop(key, None)

    def evict(self, *, kept: Set[Key], budget: int, used_since: float) -> list[Key]:
        """Lets go what is over the budget or unused for long, and returns it; the most recently used one stays.

        Args:
            kept: Versions that stay whatever they cost.
            budget: Bytes that all of them may hold.
            used_since: Moment before which a version's last use is too long ago.
        """
        evicted = []
        for key in list(self._served)[:-1]:
            over = self.memory_bytes > budget
            if key not in kept and (over or self._used_at[key] < used_since):
                self.forget(key)
                evicted.append(key)
        last = next(reversed(self._served), None)
        if last is not None and last not in kept and self._used_at[last] < used_since:
            self.forget(last)
            evicted.append(last)
        return evicted

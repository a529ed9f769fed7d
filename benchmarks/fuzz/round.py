"""What one round of an attack has, and what it leaves: its chance, its damage, what it sent and how that ended."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from benchmarks.fuzz.corpus import Seeds
from benchmarks.fuzz.mutator import Mutator
from benchmarks.fuzz.wire import LENGTH, Field, joined
from tests.support.bad_input import MAX_REQUEST_BYTES

_REQUEST_ID = 1


class Round:
    """One round; the same seed sends the same.

    Args:
        seed: Decides everything.
        count: Damaged messages to send, about.
        seeds: Valid messages of each RPC.

    Attributes:
        chance: Source of all decisions.
        count: Damaged messages to send, about.
        mutator: Does the damage.
        sent: Everything that was sent, in order, with the method: to look at when a law is broken.
        damaged: How many of these were damaged.
        outcomes: How many ended in which way: `method answered`, `method REASON`.
    """

    def __init__(self, seed: str, count: int, seeds: dict[str, Seeds]) -> None:
        self.chance = random.Random(seed)
        self.count = count
        self.mutator = Mutator(self.chance, max_bytes=MAX_REQUEST_BYTES)
        self.sent: list[tuple[str, bytes]] = []
        self.damaged = 0
        self.outcomes: Counter[str] = Counter()
        self._seeds = seeds
        self._others = [message for known in seeds.values() for message in known.messages]

    def damage(self, method: str, *, request_id: str = "", seeds: Seeds | None = None) -> bytes:
        """Returns a damaged request of a method, and remembers it.

        Args:
            method: Short name of the RPC.
            request_id: Given to the message before the damage; of a field that comes twice the last one counts.
            seeds: What the damage begins with; the round's own unless given.
        """
        known = seeds or self._seeds[method]
        data = self.chance.choice(known.messages)
        if request_id:
            data += joined([Field(_REQUEST_ID, LENGTH, request_id.encode())])
        return self.note(method, self.mutator.message(data, known.kind, self._others), is_damaged=True)

    def note(self, method: str, data: bytes, *, is_damaged: bool = False) -> bytes:
        """Remembers what is sent, and returns it."""
        self.sent.append((method, data))
        self.damaged += is_damaged
        return data

    def ended(self, method: str, how: str) -> None:
        """Counts an end."""
        self.outcomes[f"{method} {how}"] += 1

    def groups(self, size: int) -> Sequence[int]:
        """Returns the sizes of the groups that the round's messages are sent in."""
        return [min(size, self.count - begun) for begun in range(0, self.count, size)]

"""All halts in force at one moment, as a value: what is halted, and what a change made of it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from server.security.halt import Halt, HaltScope, Subject


@dataclasses.dataclass(frozen=True, slots=True)
class HaltSet:
    """Halts by scope, and how many changes they have seen.

    Attributes:
        halts: At most one for each scope.
        generation: Number of the last change, at least 0; grows with each. A store that shows a lower one than was seen
            has lost what it held.
    """

    halts: Mapping[HaltScope, Halt] = dataclasses.field(default_factory=dict)
    generation: int = 0

    def __len__(self) -> int:
        return len(self.halts)

    def __iter__(self) -> Iterator[Halt]:
        """Yields the halts, oldest first."""
        return iter(sorted(self.halts.values(), key=lambda halt: (halt.halted_at, str(halt.scope))))

    def find(self, subject: Subject) -> Halt | None:
        """Returns the widest halt that stops a prediction; None: nothing does."""
        if not self.halts:
            return None
        for scope in subject.scopes():
            halt = self.halts.get(scope)
            if halt is not None:
                return halt
        return None

    def halted(self, halt: Halt) -> HaltSet:
        """Returns these with one more. Of a scope that is halted already the first time stays: it has been so since."""
        former = self.halts.get(halt.scope)
        if former is not None:
            halt = dataclasses.replace(halt, halted_at=min(former.halted_at, halt.halted_at))
        return HaltSet({**self.halts, halt.scope: halt}, self.generation + 1)

    def resumed(self, scope: HaltScope) -> HaltSet:
        """Returns these without the one of a scope; the same where there is none."""
        if scope not in self.halts:
            return self
        return HaltSet({known: halt for known, halt in self.halts.items() if known != scope}, self.generation + 1)

    def joined(self, known: HaltSet) -> HaltSet:
        """Returns what to store where the store has lost changes that somebody saw: every halt that either knows.

        Nobody can tell what was resumed meanwhile, and a halt too many is the smaller harm.
        """
        return HaltSet({**known.halts, **self.halts}, max(known.generation, self.generation) + 1)

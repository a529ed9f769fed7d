"""What a halt is: what it stops, why, by whom and since when. Pure; knows no store, no RPC.

everything      every prediction
model           a model's, one version's or all
symbol          those of a symbol whose window the server keeps, of all owners
key             those of an API key, whose open streams end
"""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, datetime

from server.refusal import Reason, Refusal


class ScopeKind(enum.Enum):
    """What a halt is about; the names label metrics, in lower case."""

    EVERYTHING = enum.auto()
    MODEL = enum.auto()
    SYMBOL = enum.auto()
    KEY = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class HaltScope:
    """What a halt stops.

    Attributes:
        kind: Of what.
        name: The model, the symbol or the key's id; empty for everything.
        version: Of a model; 0: all of them.

    Raises:
        ValueError: The parts do not belong together.
    """

    kind: ScopeKind = ScopeKind.EVERYTHING
    name: str = ""
    version: int = 0

    def __post_init__(self) -> None:
        if bool(self.name) is (self.kind is ScopeKind.EVERYTHING):
            raise ValueError("a scope has a name unless it is everything")
        if self.version < 0 or (self.version and self.kind is not ScopeKind.MODEL):
            raise ValueError("a version is at least 0, and a model's")

    def __str__(self) -> str:
        if self.kind is ScopeKind.EVERYTHING:
            return "everything"
        return f"{self.kind.name.lower()} {self.name}" + (f":{self.version}" if self.version else "")


EVERYTHING = HaltScope()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """One halt.

    Attributes:
        scope: What it stops.
        reason: Why, in the words of who asked for it; may be empty.
        author: Who asked for it: the id of the API key.
        halted_at: Since when, seconds since the epoch.
    """

    scope: HaltScope
    reason: str
    author: str
    halted_at: float

    def refusal(self) -> Refusal:
        """Returns what a caller is told whose prediction is halted."""
        why = f": {self.reason}" if self.reason else ""
        return Refusal(
            Reason.HALTED,
            f"Predictions are halted ({self.scope}){why}. They go on when an operator resumes them; do not retry.",
            metadata={"scope": str(self.scope), "since": time_text(self.halted_at), "reason": self.reason},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What one prediction is about, as far as halts can tell.

    Attributes:
        model: Name of the model; empty where it is not known yet.
        version: Of the model.
        symbol: Whose window is read; empty where the caller sent the window.
        key_id: Who asks; empty where nobody is authenticated.
    """

    model: str = ""
    version: int = 0
    symbol: str = ""
    key_id: str = ""

    def scopes(self) -> tuple[HaltScope, ...]:
        """Returns every scope that it lies in, the widest first."""
        found = [EVERYTHING]
        if self.model:
            found.append(HaltScope(ScopeKind.MODEL, self.model))
            if self.version > 0:
                found.append(HaltScope(ScopeKind.MODEL, self.model, self.version))
        if self.symbol:
            found.append(HaltScope(ScopeKind.SYMBOL, self.symbol))
        if self.key_id:
            found.append(HaltScope(ScopeKind.KEY, self.key_id))
        return tuple(found)


def unknown_halts() -> Refusal:
    """Returns the refusal of a replica that has never been able to read what is halted."""
    reason = "the store of the halts cannot be reached"
    return Refusal(
        Reason.HALTED,
        "This replica does not know what is halted, because the store of the halts cannot be reached; it answers "
        "nothing until it does.",
        metadata={"scope": "unknown", "since": "", "reason": reason},
    )


def time_text(seconds: float) -> str:
    """Returns an instant as RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

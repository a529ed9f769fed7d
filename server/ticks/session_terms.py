"""What a tick stream's `open` settles for the whole session. Owns which terms make sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from batching import PriorityClass
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal
from server.routes.routed_predictor import Assignment
from server.ticks.tick_event import ResumePoint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """What `open` settles for the whole session.

    Attributes:
        assignment: Who answers it, for as long as it lives.
        priority: Class of its predictions.
        symbols: Distinct names, at least one.
        predict_every: A prediction is due at every n-th bar, n >= 1.
        predict_partial: Whether bars that have not closed yet are predicted on, too.
        conflate: Whether the newest pending prediction of a symbol replaces the older.
        owner: Whose symbols they are.
        resume: Where a returning client stands; symbols of the session, once each.

    Raises:
        Refusal: SYMBOL_NOT_OPEN or INVALID_TICK for a resume point that makes no sense.
    """

    assignment: Assignment
    priority: PriorityClass
    symbols: Sequence[str]
    predict_every: int = 1
    predict_partial: bool = False
    conflate: bool = False
    owner: str = ""
    resume: Sequence[ResumePoint] = ()

    @property
    def model(self) -> ServedModel:
        """The version that is asked first."""
        return self.assignment.model

    def __post_init__(self) -> None:
        symbols = set(self.symbols)
        seen: set[str] = set()
        for index, point in enumerate(self.resume):
            if point.symbol not in symbols or point.symbol in seen:
                raise Refusal(
                    Reason.SYMBOL_NOT_OPEN,
                    "A resume point names a symbol that open does not, or names it twice.",
                    field=f"resume[{index}].symbol",
                )
            seen.add(point.symbol)
            if point.sequence < 0:
                raise Refusal(
                    Reason.INVALID_TICK,
                    "last_answered_sequence must not be negative.",
                    field=f"resume[{index}].last_answered_sequence",
                )


def check_symbol_list(symbols: Collection[str], *, limit: int) -> None:
    """Refuses a list of symbols that no session can have.

    Raises:
        Refusal: INVALID_SYMBOL where it is empty or has repeats, LIMIT_EXCEEDED where it is too long.
    """
    if not symbols:
        raise Refusal(Reason.INVALID_SYMBOL, "Name at least one symbol.", field="symbols")
    if len(symbols) > limit:
        raise Refusal(
            Reason.LIMIT_EXCEEDED,
            f"At most {limit} symbols are taken on one stream; open another.",
            field="symbols",
            metadata={"limit": str(limit), "have": str(len(symbols))},
        )
    if len(set(symbols)) != len(symbols):
        raise Refusal(Reason.INVALID_SYMBOL, "Name each symbol once.", field="symbols")

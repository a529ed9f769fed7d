"""Laws of what `open` may settle."""

import pytest

from batching import PriorityClass
from server.refusal import Reason, Refusal
from server.routes.routed_predictor import Assignment
from server.ticks.session_terms import SessionTerms, check_symbol_list
from server.ticks.tick_event import ResumePoint
from tests.support.fakes import served_model


def terms(*resume: ResumePoint) -> SessionTerms:
    """Returns the terms of a session of A and B."""
    assignment = Assignment(stable=served_model(), candidate=served_model(version=2))
    return SessionTerms(
        assignment=assignment, priority=PriorityClass.STANDARD, symbols=["A", "B"], predict_every=3, resume=resume
    )


def test_resume_points_may_be_some_of_the_symbols() -> None:
    """In any order; a symbol without one begins anew."""
    points = (ResumePoint(symbol="B", sequence=0), ResumePoint(symbol="A", sequence=2**63 - 1, as_of_time=-5.0))
    assert terms(*points).resume == points
    assert terms().resume == ()


@pytest.mark.parametrize(
    ("points", "reason", "field"),
    [
        ([("C", 1)], Reason.SYMBOL_NOT_OPEN, "resume[0].symbol"),
        ([("A", 1), ("A", 1)], Reason.SYMBOL_NOT_OPEN, "resume[1].symbol"),
        ([("B", 0), ("A", -1)], Reason.INVALID_TICK, "resume[1].last_answered_sequence"),
    ],
)
def test_resume_points_that_make_no_sense_are_refused(
    points: list[tuple[str, int]], reason: Reason, field: str
) -> None:
    """With the index of the first."""
    with pytest.raises(Refusal) as caught:
        terms(*(ResumePoint(symbol=symbol, sequence=sequence) for symbol, sequence in points))
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_the_model_is_the_one_that_is_asked_first() -> None:
    """A candidate, where the stream is on its arm."""
    assert terms().model.version == 2


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [([], Reason.INVALID_SYMBOL), (["A", "B", "A"], Reason.INVALID_SYMBOL), ([*"ABCDE"], Reason.LIMIT_EXCEEDED)],
)
def test_a_list_of_symbols_is_checked(symbols: list[str], reason: Reason) -> None:
    """None, repeats, too many; one at the limit is taken."""
    with pytest.raises(Refusal) as caught:
        check_symbol_list(symbols, limit=4)
    assert (caught.value.reason, caught.value.field) == (reason, "symbols")
    check_symbol_list([*"ABCD"], limit=4)

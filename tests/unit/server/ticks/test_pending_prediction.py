"""Laws of conflation: the oldest one's place, the newest one's window."""

import numpy as np
import pytest

from server.inference.predictor import InputOrigin, Work
from server.ticks.pending_prediction import PendingPrediction
from server.ticks.tick_event import DuePrediction
from tests.support.fakes import served_model


def due(sequence: int) -> DuePrediction:
    """Returns a due prediction whose window is full of its number."""
    return DuePrediction(
        symbol="A",
        sequence=sequence,
        source=np.full((50, 60), sequence, np.float32),
        origin=InputOrigin(symbol="A", last_sequence=sequence),
        valid_duration=None,
    )


def test_a_newer_one_takes_the_place() -> None:
    """All that the answer is about is the newest one's; what it stands for begins at the oldest."""
    pending = PendingPrediction(due(3), received_at=10.0, deadline=11.0)
    for sequence in (5, 6):
        pending.replace(due(sequence), received_at=10.0 + sequence, deadline=20.0 + sequence)
    assert (pending.first_sequence, pending.conflated_count, pending.due.sequence) == (3, 2, 6)
    assert (pending.received_at, pending.deadline, pending.origin.last_sequence) == (16.0, 26.0, 6)
    assert pending.window[0, 0] == 6


def test_one_that_is_not_replaced_stands_for_itself() -> None:
    """No older one is counted."""
    pending = PendingPrediction(due(3), received_at=10.0, deadline=11.0)
    assert (pending.first_sequence, pending.conflated_count, pending.due.sequence) == (3, 0, 3)


def test_binding_settles_the_window() -> None:
    """The engine gets the newest at that moment; asked again, the same; nothing replaces it afterwards."""
    pending = PendingPrediction(due(3), received_at=10.0, deadline=11.0)
    work = Work(window=pending.window, model=served_model(), late=pending)
    pending.replace(due(4), received_at=10.5, deadline=11.5)
    bound = work.bound()
    assert bound.late is None
    assert bound.window[0, 0] == 4
    assert bound.window is pending.bind()
    with pytest.raises(AssertionError):
        pending.replace(due(5), received_at=11.0, deadline=12.0)
    assert work.bound().window is bound.window
    assert bound.bound() is bound

"""Laws of the figures of false refusals."""

from benchmarks.refusals.caller import Attempted
from benchmarks.refusals.figures import summarise


def test_second_attempts_are_counted_by_what_they_came_to() -> None:
    """A refusal is false if the second attempt was in time; what failed otherwise had no second attempt."""
    calls = [
        Attempted("", None, "a", 0.01),
        Attempted("PREDICTED_DEADLINE_MISS", "", "b", 0.02),
        Attempted("QUEUE_FULL", "QUEUE_FULL", "", 0.03),
        Attempted("INFERENCE_FAILED", None, "", 0.04),
    ]
    figures = summarise(calls)
    assert (figures["calls"], figures["refused"], figures["recovered"]) == (4, 2, 1)
    assert figures["recovered_share"] == 0.5
    assert (figures["failed_at_first_share"], figures["failed_share"]) == (0.75, 0.5)
    assert figures["second"] == {"QUEUE_FULL": 1}
    assert figures["replicas"] == {"a": 1, "b": 1}
    assert (figures["median"], figures["p99"]) == (0.02, 0.04)


def test_without_refusals_there_is_no_share() -> None:
    """Nor without calls."""
    assert summarise([Attempted("", None, "a", 0.01)])["recovered_share"] is None
    assert summarise([])["failed_share"] == 0

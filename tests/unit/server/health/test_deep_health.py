"""Laws of the judgement: time in the engine alone decides, and what was not measured changes nothing."""

import pytest

from server.health.deep_health import DeepHealth, DeepState, failed, measured


def test_an_engine_that_was_never_seen_is_unknown() -> None:
    """As in the original design: unknown, never checked, not healthy."""
    fresh = DeepHealth()
    assert (fresh.state, fresh.checked_at, fresh.is_healthy) == (DeepState.UNKNOWN, 0.0, False)


@pytest.mark.parametrize(
    ("engine", "state"),
    [
        (0.0, DeepState.HEALTHY),
        (0.0999, DeepState.HEALTHY),
        (0.1, DeepState.DEGRADED),
        (30.0, DeepState.DEGRADED),
    ],
)
@pytest.mark.parametrize("queue", [0.0, 0.099, 5.0, 3600.0])
def test_the_engine_is_judged_and_the_queue_is_not(engine: float, state: DeepState, queue: float) -> None:
    """Under 100 ms is healthy, from there on degraded, however long the wait before."""
    found = measured(at=17.0, engine=engine, queue=queue, degraded_above=0.1)
    assert (found.state, found.is_healthy) == (state, state is DeepState.HEALTHY)
    assert (found.checked_at, found.engine_duration, found.queue_duration) == (17.0, engine, queue)
    assert not found.error


def test_a_failure_is_unhealthy_and_says_why() -> None:
    """With no duration that one might take for a measurement."""
    found = failed("the engine failed", at=17.0)
    assert (found.state, found.error, found.engine_duration) == (DeepState.UNHEALTHY, "the engine failed", 0.0)


@pytest.mark.parametrize(
    "before",
    [DeepHealth(), failed("x", at=1.0), measured(at=1.0, engine=0.5, queue=0.1, degraded_above=0.1)],
    ids=lambda health: health.state.name,
)
def test_a_check_without_a_turn_leaves_the_judgement(before: DeepHealth) -> None:
    """State, time and durations stand; that it was tried, how often and how long, is told until the next judgement."""
    after = before.skipped(2.0).skipped(3.0)
    assert (after.skipped_count, after.skipped_duration) == (2, 3.0)
    for name in ("state", "checked_at", "engine_duration", "queue_duration", "error"):
        assert getattr(after, name) == getattr(before, name)
    assert measured(at=2.0, engine=0.0, queue=0.0, degraded_above=0.1).skipped_count == 0


def test_better_states_are_greater() -> None:
    """The numbers are those of the metric `tickserve_deep_health_state`."""
    assert [int(state) for state in DeepState] == [0, 1, 2, 3]
    assert DeepState.UNKNOWN < DeepState.UNHEALTHY < DeepState.DEGRADED < DeepState.HEALTHY

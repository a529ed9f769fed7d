"""Laws of the time that is left for stable: the longest batch that may run, then one window; looked up now and then."""

import dataclasses

from batching import CostEstimate, Statistics
from server.routes.fallback_reserve import FallbackReserve
from tests.support.fakes import served_model
from tests.support.routed import no_costs

STABLE, CANDIDATE = served_model(version=1), served_model(version=2)


def costs(**quantiles: float) -> dict[int, CostEstimate]:
    """Returns estimates by size, given as `s8=0.004`."""
    return {int(size[1:]): CostEstimate(median=0.0, quantile=value) for size, value in quantiles.items()}


def statistics() -> Statistics:
    """Returns a scheduler's view of a quick stable version and a slow candidate."""
    return dataclasses.replace(
        no_costs(),
        costs={STABLE.sha256: costs(s1=0.002, s8=0.010), CANDIDATE.sha256: costs(s1=0.005, s4=0.030, s8=0.050)},
        batch_limit={STABLE.sha256: 8, CANDIDATE.sha256: 3},
    )


def test_it_is_the_longest_batch_and_one_window() -> None:
    """The candidate's batch of three, told as one of four, is the longest; then stable computes one window."""
    reserve = FallbackReserve(statistics, lambda: 0.0)
    assert reserve.seconds(STABLE, CANDIDATE) == 0.030 + 0.002
    assert reserve.seconds(STABLE, STABLE) == 0.010 + 0.002


def test_what_is_unknown_takes_no_time() -> None:
    """Whoever knows nothing is optimistic, as the scheduler is."""
    assert FallbackReserve(no_costs, lambda: 0.0).seconds(STABLE, CANDIDATE) == 0.0


def test_the_scheduler_is_looked_at_now_and_then() -> None:
    """Not for every request, and anew after half a second."""
    clock, looks = [0.0], []

    def look() -> Statistics:
        looks.append(clock[0])
        return statistics()

    reserve = FallbackReserve(look, lambda: clock[0])
    for clock[0] in (0.0, 0.1, 0.4, 0.5, 0.9, 1.0):
        reserve.seconds(STABLE, CANDIDATE)
    assert looks == [0.0, 0.5, 1.0]

"""The open loop's schedule is fixed in advance: right in number, spacing, bursts and reproducibility."""

from itertools import pairwise

import pytest

from benchmarks.load.arrivals import schedule
from benchmarks.load.plan import Arrivals, Traffic


def traffic(*, rate: float = 0.0, arrivals: Arrivals = "even", interval: float = 0.0, size: int = 0) -> Traffic:
    """Returns an open loop."""
    return Traffic(
        name="probe",
        priority="real_time",
        deadline=0.05,
        rpc_timeout=1,
        rate=rate,
        arrivals=arrivals,
        burst_interval=interval,
        burst_size=size,
    )


@pytest.mark.parametrize("seed", range(5))
def test_even_arrivals_are_evenly_spaced_at_the_rate(seed: int) -> None:
    """Every gap is one over the rate, the count is rate times length, and the first comes within one gap."""
    instants = schedule(traffic(rate=20), length=10, seed=seed)
    assert len(instants) == 200
    assert 0 <= instants[0] < 0.05
    assert [b - a for a, b in pairwise(instants)] == pytest.approx([0.05] * 199)


def test_poisson_arrivals_have_the_rate_and_vary() -> None:
    """The mean gap is one over the rate, the gaps' deviation about their mean, and none lies outside the run."""
    instants = schedule(traffic(rate=1000, arrivals="poisson"), length=20, seed=1)
    gaps = [b - a for a, b in pairwise(instants)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1e-3, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.05)
    assert instants == sorted(instants)
    assert instants[-1] < 20


def test_the_same_seed_gives_the_same_schedule() -> None:
    """A schedule is a function of its seed."""
    poisson = traffic(rate=50, arrivals="poisson")
    assert schedule(poisson, length=5, seed=3) == schedule(poisson, length=5, seed=3)
    assert schedule(poisson, length=5, seed=3) != schedule(poisson, length=5, seed=4)


def test_bursts_are_due_at_once() -> None:
    """All requests of a burst share one instant; the first burst comes after half an interval."""
    instants = schedule(traffic(interval=2, size=3), length=6, seed=0)
    assert instants == [1, 1, 1, 3, 3, 3, 5, 5, 5]


def test_bursts_come_on_top_of_the_rate() -> None:
    """Rate and bursts add up."""
    assert len(schedule(traffic(rate=10, interval=1, size=7), length=4, seed=0)) == 40 + 4 * 7

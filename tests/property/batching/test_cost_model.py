"""Law 7: the cost model."""

import itertools
import math
import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from batching import CostModel
from batching.cost_curve import HALF_LIFE, MEDIAN_SAMPLES, QUANTILE_SAMPLES
from batching.cost_model import MAX_KEYS

SECONDS = st.floats(1e-5, 100.0)
SAMPLES = st.lists(st.tuples(st.integers(1, 64), SECONDS, st.floats(0.0, 300.0)), max_size=80)


def feed(model: CostModel, samples: list[tuple[int, float, float]]) -> float:
    """Let the model observe samples, each so many seconds after the one before."""
    now = 0.0
    for size, seconds, gap in samples:
        now += gap
        model.decay(now)
        model.observe("m", size, seconds, now)
    return now


@settings(max_examples=150, deadline=None)
@given(samples=SAMPLES, warm_up=st.dictionaries(st.integers(1, 64), SECONDS, max_size=5), duration=SECONDS)
def test_predictions_are_monotone_ordered_and_inverted(
    samples: list[tuple[int, float, float]], warm_up: dict[int, float], duration: float
) -> None:
    """Law 7: whatever was measured: monotone in size, quantile >= median > 0, and ``limit`` inverts ``median``."""
    model = CostModel(warm_up={"m": warm_up})
    feed(model, samples)
    curve = model.curve("m")
    medians = [curve.median(n) for n in range(1, 130)]
    quantiles = [curve.quantile(n) for n in range(1, 130)]
    for values in (medians, quantiles):
        assert all(after >= before * (1 - 1e-12) for before, after in itertools.pairwise(values))
    assert all(q >= m for m, q in zip(medians, quantiles, strict=True))
    assert all(math.isfinite(q) for q in quantiles)
    assert curve.known == bool(samples or warm_up) == (medians[0] > 0)
    limit = curve.limit(duration, 129)
    assert 1 <= limit <= 129
    assert limit == 1 or curve.median(limit) <= duration * (1 + 1e-6)
    assert limit == 129 or curve.median(limit + 1) > duration * (1 - 1e-6)


def noisy(chance: random.Random, size: int, speed: float) -> float:
    """Return what an engine takes: a fixed part, a part per item, some noise."""
    return speed * (0.002 + 0.001 * size) * chance.uniform(0.9, 1.1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.2, 0.5, 2.0, 5.0]), outlier=st.floats(0.2, 30.0))
def test_follows_the_machine_at_every_size_and_ignores_outliers(seed: int, factor: float, outlier: float) -> None:
    """Law 7: rare outliers move nothing; a machine that changes speed is followed at sizes not seen since."""
    chance = random.Random(seed)
    model = CostModel()
    now = 0.0
    for step in range(200):
        now += 0.01
        size = chance.choice([1, 2, 4, 8, 16, 32])
        model.observe("m", size, outlier if step % 29 == 28 else noisy(chance, size, 1.0), now)
    for size in (1, 3, 8, 20, 32):
        truth = 0.002 + 0.001 * size
        assert model.median("m", size) == pytest.approx(truth, rel=0.2)
        assert truth * 0.9 <= model.quantile("m", size) <= truth * 1.5
    for _ in range(QUANTILE_SAMPLES):
        now += 0.01
        size = chance.choice([8, 16])
        model.observe("m", size, noisy(chance, size, factor), now)
        if _ == MEDIAN_SAMPLES:
            assert model.median("m", 12) == pytest.approx(factor * 0.014, rel=0.25)
    for size in (1, 3, 8, 20, 32):
        truth = factor * (0.002 + 0.001 * size)
        assert model.median("m", size) == pytest.approx(truth, rel=0.25)
        assert truth * 0.85 <= model.quantile("m", size) <= truth * 1.5


@settings(max_examples=60, deadline=None)
@given(speed=st.floats(0.1, 10.0), count=st.integers(2, 100), warm=SECONDS)
def test_decays_to_its_warm_up_values(speed: float, count: int, warm: float) -> None:
    """Law 7: without samples an estimate goes back to what was measured before service, monotonically."""
    model = CostModel(warm_up={"m": {1: warm}})
    for step in range(count):
        model.observe("m", 1, warm * speed, float(step) / count)
    distances = []
    for age in range(20):
        model.decay(1.0 + age * HALF_LIFE)
        distances.append(abs(math.log(model.median("m", 1) / warm)))
    assert distances[0] == pytest.approx(abs(math.log(speed)), rel=0.1, abs=1e-2)
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(distances))
    assert distances[-1] == pytest.approx(0.0, abs=1e-4)


def test_without_warm_up_what_is_old_is_forgotten() -> None:
    """Law 7: nothing to decay to means to know nothing, which is optimistic."""
    model = CostModel()
    model.observe("m", 4, 1.0, 0.0)
    model.observe("m", 4, 1.0, 1.0)
    assert model.median("m", 4) == 1.0
    model.decay(1e4)
    assert not model.curve("m").known
    assert (model.median("m", 4), model.quantile("m", 64)) == (0.0, 0.0)
    assert model.curve("m").limit(0.001, 64) == 64


def test_first_call_that_compiles_is_soon_outvoted() -> None:
    """Law 7: an outlier at the very start does not survive the next few batches."""
    model = CostModel()
    for step, seconds in enumerate([2.85, 0.003, 0.003, 0.003]):
        model.observe("m", 2, seconds, float(step))
    assert model.median("m", 2) == pytest.approx(0.003)
    assert model.quantile("m", 2) == pytest.approx(0.003)


def test_size_that_is_no_longer_tried_is_forgotten() -> None:
    """Law 7: a size once measured far too slow cannot keep batches small for ever."""
    model = CostModel()
    now = 0.0
    for _ in range(20):
        model.observe("m", 8, 0.010, now)
    for _ in range(3):
        model.observe("m", 16, 5.0, now)
    for _ in range(20):
        model.observe("m", 8, 0.010, now)
    assert model.curve("m").limit(0.020, 64) < 10
    while now < 5 * HALF_LIFE:
        now += 1.0
        model.observe("m", 8, 0.010, now)
        model.decay(now)
    assert model.curve("m").limit(0.020, 64) == 16


def test_what_is_no_measurement_is_not_learned() -> None:
    """A standing clock measures nothing; a warm-up that makes no sense is refused."""
    model = CostModel()
    for seconds in (0.0, -1.0, math.inf, math.nan):
        model.observe("m", 1, seconds, 0.0)
        with pytest.raises(ValueError, match="give a size"):
            model.observe_warm_up("m", 1, seconds)
    assert len(model) == 0


def test_keys_are_bounded() -> None:
    """Law 10: only so many keys are remembered, those last measured."""
    model = CostModel()
    for number in range(3 * MAX_KEYS):
        model.observe(str(number), 1, 1.0, 0.0)
    assert len(model) == MAX_KEYS
    assert model.median(str(3 * MAX_KEYS - 1), 1) == 1.0
    assert model.median("0", 1) == 0.0


def test_least_warm_up_measurement_counts() -> None:
    """Law 7: an engine's first calls compile; of several measurements the least is the truth."""
    model = CostModel()
    for seconds in (2.0, 0.004, 0.005):
        model.observe_warm_up("m", 1, seconds)
    assert model.median("m", 1) == 0.004


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.floats(0.0, 0.4), warmed=st.booleans())
def test_noise_does_not_shut_out_one_size_after_another(seed: int, spread: float, warmed: bool) -> None:
    """Law 7: where the model itself chooses what is measured, the limit stays near the true one for good."""
    chance = random.Random(seed)
    model = CostModel(warm_up={"m": {n: 0.002 + 0.001 * n for n in (1, 4, 16, 64)} if warmed else {}})
    now = 0.0
    limits = []
    for _ in range(6000):
        limit = model.curve("m").limit(0.015, 64)
        limits.append(limit)
        size = limit if chance.random() < 0.9 else chance.randint(max(1, limit - 3), limit)
        seconds = (0.002 + 0.001 * size) * chance.lognormvariate(0.0, spread)
        now += seconds
        model.observe("m", size, seconds, now)
        model.decay(now)
    assert 9 <= sum(limits[4000:]) / 2000 <= 17  # the true one is 13


@pytest.mark.parametrize("warmed", [True, False])
def test_sizes_not_in_use_stay_what_they_were_however_long(warmed: bool) -> None:
    """Law 7: half an hour of small batches on a noisy machine makes large ones no slower. Once they took seconds."""
    chance = random.Random(0)

    def true(size: int) -> float:
        return 0.0014 + 0.0005 * size

    unused = (8, 16, 64)
    model = CostModel(warm_up={"m": {size: true(size) for size in (1, *unused)}} if warmed else None)
    now = 0.0
    for _ in range(40_000):
        now += 0.009
        size = min(7, 1 + int(chance.expovariate(0.6)))
        stall = 4.0 if chance.random() < 0.03 else 1.0
        model.observe("m", size, 1.8 * true(size) * chance.lognormvariate(0.0, 0.4) * stall, now)
        model.decay(now)
        if now > 10.0:
            for asked in (1, 4, 7, *unused):
                # Without warm-up, what is beyond the sizes measured is a careful guess.
                allowed = 3.0 if warmed or asked < 8 else 4.0
                assert 1 / 3 < model.median("m", asked) / (1.8 * true(asked)) < allowed, (asked, now)
    assert 4 <= model.curve("m").limit(0.012, 64, max_slowdown=2.0) <= 25

"""Laws of autoscaling for any load: bounds, more for more, no swinging under a load that stays, and Ray Serve's own."""

import warnings
from dataclasses import replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.autoscaling.demand import CLASSES, Goals, ReplicaFigures, scaled, wanted_replicas
from server.autoscaling.scaling_decision import ScalingState, decide
from server.config.autoscaling_settings import AutoscalingSettings
from server.config.scale_profiles import SCALE_PROFILES, ScaleProfile

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from ray.serve.autoscaling_policy import _apply_delay_logic, _apply_scaling_factors
    from ray.serve.config import AutoscalingConfig

_SETTINGS = AutoscalingSettings()
GOALS = Goals(
    target=5.0, queue_time=_SETTINGS.queue_time.by_class(), misses=_SETTINGS.misses.by_class(), busy=_SETTINGS.busy
)

# Seconds between two decisions of the pool that must settle, and how many it has for that: three hours.
_STEP, _STEPS = 30.0, 360

shares = st.floats(0, 1)
amounts = st.floats(0, 1e4)
figures = st.builds(
    ReplicaFigures,
    ongoing=amounts,
    queue_time=st.fixed_dictionaries({priority: st.floats(0, 60) for priority in CLASSES}),
    ended=st.fixed_dictionaries({priority: st.floats(1, 1e4) for priority in CLASSES}),
    missed=st.just({}),
    busy=shares,
    is_fresh=st.booleans(),
    is_current=st.booleans(),
)


@st.composite
def profiles(draw: st.DrawFn) -> ScaleProfile:
    """Returns any profile."""
    least = draw(st.integers(1, 20))
    return ScaleProfile(
        min_replicas=least,
        max_replicas=least + draw(st.integers(0, 40)),
        target_ongoing_requests=draw(st.floats(0.1, 100)),
        upscale_delay_s=draw(st.sampled_from([0.0, 1.0, 15.0, 30.0])),
        downscale_delay_s=draw(st.sampled_from([0.0, 1.0, 120.0, 300.0])),
        upscaling_factor=draw(st.floats(0.1, 3)),
        downscaling_factor=draw(st.floats(0.1, 3)),
    )


@given(
    profile=profiles(),
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(0, 60), st.floats(0, 400)), max_size=30),
    target=st.integers(1, 60),
)
def test_decisions_grow_within_the_bounds_and_never_below_the_least(
    profile: ScaleProfile, steps: list[tuple[float, int, float]], target: int
) -> None:
    """At once at least the least, and never more than the most unless there were more already."""
    state, now = ScalingState(), 1e9
    for wanted, running, later in steps:
        now += later
        decided, state = decide(state, wanted, running=max(running, 1), target=target, profile=profile, now=now)
        assert decided >= profile.min_replicas
        assert decided <= max(profile.max_replicas, target)
        target = decided


@given(
    before=st.lists(figures, min_size=1, max_size=6),
    data=st.data(),
)
def test_more_load_never_asks_for_fewer(before: list[ReplicaFigures], data: st.DataObject) -> None:
    """Each signal of each replica alone, and all at once."""
    running = len(before)
    after = []
    for each in before:
        more = data.draw(figures)
        after.append(
            replace(
                each,
                ongoing=each.ongoing + more.ongoing,
                queue_time={key: each.queue_time[key] + more.queue_time[key] for key in CLASSES},
                missed={key: data.draw(shares) * each.ended[key] for key in CLASSES},
                busy=min(1.0, each.busy + more.busy),
            )
        )
    assert wanted_replicas(after, GOALS, running=running) >= wanted_replicas(before, GOALS, running=running) - 1e-9


# Each is hundreds of decisions; how long they take on a busy machine is no law.
@settings(max_examples=50, deadline=None)
@given(work=st.floats(0.01, 18), target=st.floats(1, 10), name=st.sampled_from(sorted(SCALE_PROFILES)))
def test_a_load_that_stays_settles(work: float, target: float, name: Any) -> None:
    """From one replica on, two hours later it has stopped moving, for good.

    The pool is a fluid one: each engine is busy for its share of the work, and what it holds grows without bound as
    that nears all of its time. Just the loop in which a policy without the busy engines' goal would swing.
    """
    profile = SCALE_PROFILES[name].model_copy(
        update={"min_replicas": 1, "max_replicas": 50, "target_ongoing_requests": target}
    )
    state, number, now, moves = ScalingState(), 1, 1e9, []
    goals = replace(GOALS, target=target)
    for _ in range(_STEPS):
        now += _STEP
        load = work / number
        wait = 0.01 * load / (1 - load) if load < 1 else 100.0
        each = ReplicaFigures(
            ongoing=min(load / (1 - load), 500.0) if load < 1 else 500.0,
            queue_time=dict.fromkeys(CLASSES, wait),
            busy=min(1.0, load),
        )
        decided, state = decide(
            state,
            wanted_replicas([each] * number, goals, running=number),
            running=number,
            target=number,
            profile=profile,
            now=now,
        )
        if decided != number:
            moves.append(now - 1e9)
        number = decided
    assert not [at for at in moves if at > _STEPS * _STEP * 2 / 3]
    assert work / number <= 1 or number == 50


@given(wanted=st.floats(0, 200), running=st.integers(0, 60), up=st.floats(0.1, 3), down=st.floats(0.1, 3))
def test_factors_are_ray_serves(wanted: float, running: int, up: float, down: float) -> None:
    """The original's `*_smoothing_factor` as Ray Serve applies them today."""
    config = AutoscalingConfig(max_replicas=100, upscaling_factor=up, downscaling_factor=down)
    ours = scaled(wanted, running=running, upscaling_factor=up, downscaling_factor=down)
    assert ours == _apply_scaling_factors(wanted, running, config)


@given(
    profile=profiles(),
    steps=st.lists(st.tuples(st.floats(0, 100), st.floats(1, 40)), min_size=1, max_size=40),
    start=st.integers(1, 60),
)
def test_delays_are_ray_serves(profile: ScaleProfile, steps: list[tuple[float, float]], start: int) -> None:
    """The same numbers at the same moments, as long as the bounds stay and replicas come at once."""
    number = max(profile.min_replicas, min(profile.max_replicas, start))
    config = AutoscalingConfig(
        max_replicas=100,
        upscale_delay_s=profile.upscale_delay_s,
        downscale_delay_s=profile.downscale_delay_s,
        upscaling_factor=profile.upscaling_factor,
        downscaling_factor=profile.downscaling_factor,
    )
    their_state: dict[str, Any] = {}
    ours, state, theirs, now = number, ScalingState(), number, 1e9
    for wanted, later in steps:
        assume(ours == theirs)
        now += later
        desired = _apply_scaling_factors(wanted, theirs, config)
        bounded = max(profile.min_replicas, min(profile.max_replicas, desired))
        ours, state = decide(state, wanted, running=ours, target=ours, profile=profile, now=now)
        theirs, their_state = _apply_delay_logic(bounded, theirs, config, their_state, _now=now)
        assert ours == theirs

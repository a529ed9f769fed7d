"""When a wish for more or fewer replicas becomes a decision: delays, bounds, and the profile of the moment.

Pure: state and time go in, a decision and the next state come out. Ray Serve would apply delays and factors itself, but
the same ones all day long; so it is told none (`scale_options`), and those of the moment are applied here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.autoscaling.demand import scaled
from server.config.scale_profiles import ScaleProfile

# Two large clock readings lose some digits when they are subtracted; a delay that is over to that much is over.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    """What is remembered from one decision to the next; times in Unix seconds.

    Attributes:
        decided_at: When the last decision was made; None before the first.
        direction: Whether more (1) or fewer (-1) replicas have been wanted since `since`; 0: neither.
        since: Since when, without a pause.
        running: How many replicas ran at the last decision.
        running_since: Since when as many.
        held: How many there are when none is missing: the most that ran of those that there shall be.
        held_since: Since when it is as many, but for those that left since.
    """

    decided_at: float | None = None
    direction: int = 0
    since: float = 0.0
    running: int = 0
    running_since: float = 0.0
    held: int = 0
    held_since: float = 0.0


def seen(state: ScalingState, *, running: int, target: int, now: float) -> ScalingState:
    """Returns the state with the present number of replicas, seen at every call.

    `running_since` begins anew with each change. `held_since` does with growth alone: a replica that comes and goes
    changes nothing of it, nor do those that an update adds for a while, above how many there shall be.

    Args:
        state: Of the last time.
        running: How many replicas run.
        target: How many there shall be by the last decision.
        now: Unix seconds.
    """
    if now < max(state.running_since, state.held_since):
        # The clock was set back: reports by the new time are not from before.
        state = replace(state, running_since=min(state.running_since, now), held_since=min(state.held_since, now))
    if running != state.running:
        state = replace(state, running=running, running_since=now)
    if (held := min(running, target)) > state.held:
        return replace(state, held=held, held_since=now)
    return replace(state, held=target) if target < state.held else state


def decide(
    state: ScalingState, wanted: float, *, running: int, target: int, profile: ScaleProfile, now: float
) -> tuple[int, ScalingState]:
    """Returns how many replicas there shall be, and the next state.

    The least of the profile holds at once: it is what is there before the market opens, and no load has to ask for it.
    Its most holds for growth at once; what is above it goes as what is not wanted goes.

    Args:
        state: Of the last decision.
        wanted: What the load asks for; see `wanted_replicas`.
        running: How many replicas run.
        target: How many there shall be by the last decision; some may still be starting.
        profile: In force at this moment.
        now: Unix seconds.
    """
    state = replace(state, decided_at=now)
    if target < profile.min_replicas:
        return profile.min_replicas, replace(state, direction=0)
    number = scaled(
        wanted,
        running=running,
        upscaling_factor=profile.upscaling_factor,
        downscaling_factor=profile.downscaling_factor,
    )
    if wanted >= running:
        # Those that run are all needed, so those that are still starting are as well.
        number = max(number, target)
    number = max(profile.min_replicas, min(profile.max_replicas, number))
    direction = (number > target) - (number < target)
    if direction == 0:
        return target, replace(state, direction=0)
    if direction != state.direction or now < state.since:
        state = replace(state, direction=direction, since=now)
    delay = profile.upscale_delay_s if direction > 0 else profile.downscale_delay_s
    if now - state.since + _EPSILON < delay:
        return target, state
    return number, replace(state, direction=0)

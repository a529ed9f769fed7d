"""What the policy is given as its arguments, and what it reads of Ray Serve's own configuration instead. Pure.

Ray Serve builds the whole application anew when a policy's arguments change: every call fails for seconds, and all
replicas are replaced (`server.renewal` tells why). What stands in its own fields may change while the service goes on.
So whatever those fields can say is left to them, and what the policy does not need is not among its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from server.config.autoscaling_settings import AutoscalingSettings

_CALENDAR = "calendar"
# Ray Serve's names are ours.
_SERIES = ("metrics_interval_s", "look_back_period_s")
# By the clock there are two profiles, and Ray Serve has fields for one: it is told what spans both.
_BOUNDS = ("min_replicas", "max_replicas", "target_ongoing_requests")
# Of no use to the policy: it is there where autoscaling is on, and replicas are of a size whatever their number.
_UNUSED = ("enabled", "resources")


def told_apart(profile: str) -> tuple[str, ...]:
    """Returns the names of the settings that Ray Serve's own fields say, where a profile of that name is chosen."""
    return _SERIES if profile == _CALENDAR else _SERIES + _BOUNDS


def policy_arguments(scale: AutoscalingSettings) -> dict[str, Any]:
    """Returns the settings that are the policy's arguments, as plain data."""
    return scale.model_dump(mode="json", exclude={*told_apart(scale.profile), *_UNUSED})


def read_told(arguments: Mapping[str, Any], config: object) -> dict[str, float]:
    """Returns the settings that are not among the arguments, from Ray Serve's `AutoscalingConfig`.

    Raises:
        AttributeError: It is none.
    """
    profile = cast("str", arguments.get("profile", ""))
    return {name: getattr(config, name) for name in told_apart(profile)}


def whole_settings(arguments: Mapping[str, Any], told: Mapping[str, float]) -> AutoscalingSettings:
    """Returns the settings that both are parts of.

    Raises:
        pydantic.ValidationError: They contradict each other.
    """
    return AutoscalingSettings.model_validate({**arguments, **told})

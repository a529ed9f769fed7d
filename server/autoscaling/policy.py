"""What Ray Serve's controller calls, ten times a second, to ask how many replicas there shall be.

The one file here that knows Ray. Serve pickles this module by value into the controller's process and finds the others
by their names. A policy that raised would keep Ray Serve from starting, replacing and updating anything, one that
waited would keep it from everything: so this one never raises, and whatever it uses never waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from server.autoscaling.calendar_feed import process_feed
from server.autoscaling.policy_arguments import read_told, whole_settings
from server.autoscaling.replica_reports import Point
from server.autoscaling.scaler import Pool, Scaler
from server.autoscaling.scaling_decision import ScalingState

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

logger = logging.getLogger("ray.serve")

_STATE = "tickserve"
# Seconds between two complaints: an error comes back with every call.
_COMPLAINT_INTERVAL = 60.0


class ScalingPolicy:
    """Decides how many replicas there shall be; Ray Serve makes one whenever a deployment's configuration changes.

    Args:
        settings: Of autoscaling, but for those that Ray Serve's own configuration says (`policy_arguments`).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        # Made at the first call: only then is Ray Serve's configuration there, and an error does no harm.
        self._told: dict[str, float] = {}
        self._scaler: Scaler | None = None
        self._complained_at: float | None = None

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Returns how many replicas there shall be, and the state that Ray Serve hands back the next time."""
        state = (context.policy_state or {}).get(_STATE) or ScalingState()
        try:
            now = context.current_time if context.current_time is not None else time.time()
            pool = Pool(
                running=context.current_num_replicas,
                target=context.target_num_replicas,
                reports=lambda: _by_replica(context.raw_metrics or {}),
            )
            number, state = self._scaler_for(context.config).decide(state, pool, now=now)
        except Exception:
            if self._may_complain():
                logger.exception("autoscaling failed; the number of replicas stays as it is")
            number = context.target_num_replicas
        return number, {_STATE: state}

    def _scaler_for(self, config: object) -> Scaler:
        told = read_told(self._settings, config)
        if self._scaler is None or told != self._told:
            settings = whole_settings(self._settings, told)
            feed = process_feed(settings.calendars) if settings.profile == "calendar" else None
            self._scaler, self._told = Scaler(settings, calendars=feed), told
        return self._scaler

    def _may_complain(self) -> bool:
        now = time.monotonic()
        if self._complained_at is not None and now - self._complained_at < _COMPLAINT_INTERVAL:
            return False
        self._complained_at = now
        return True


def _by_replica(metrics: Mapping[str, Mapping[Any, Sequence[Point]]]) -> list[dict[str, Sequence[Point]]]:
    """Returns each replica's series by name, from each name's series by replica."""
    replicas: dict[Any, dict[str, Sequence[Point]]] = {}
    for name, series in metrics.items():
        for replica, points in series.items():
            replicas.setdefault(replica, {})[name] = points
    return list(replicas.values())

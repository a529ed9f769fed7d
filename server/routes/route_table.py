"""The routes in force on this replica, and the loaded versions that they lead to.

Owns who of a route's versions can answer now. Runs nothing and counts nothing; knows no RPCs.

A route's stable version that cannot be had (it is being loaded, it was quarantined or deleted) is stood in for by the
version that answered last: a change of routes costs no request, and a bad deed of an operator as few as can be.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from model.model_config import ModelConfig
from server.config.live_settings import LiveSettings
from server.config.route_settings import RouteSettings
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal
from server.routes.route import Route
from server.routes.route_snapshot import ArmSnapshot, ArmState, RouteSnapshot
from server.routes.router import Arm

logger = logging.getLogger("tickserve")

# Seconds between two looks whether a version that the start waits for is loaded.
_START_INTERVAL = 0.05


class Pool(Protocol):
    """What routes need of the `ModelPool`."""

    async def get(self, name: str, version: int) -> ServedModel:
        """Returns a loaded version, 0 standing for the one that serves, or raises a `Refusal`."""
        ...

    def request(self, name: str, version: int) -> ServedModel | None:
        """Returns a version if it is loaded, else begins to load it."""
        ...

    def protect(self, keys: frozenset[tuple[str, int]]) -> None:
        """Keeps versions in memory and loads those that are not there."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a reference to a model leads to.

    Attributes:
        model: Answers unless a candidate does.
        route: Decides that; None where the version was named, or the model has no route.
    """

    model: ServedModel
    route: Route | None = None


class RouteTable:
    """Keeps one route for each model that the settings give one.

    Args:
        pool: Has the versions.
        live: Has the `routes`.
        clock: Monotonic seconds.
    """

    def __init__(self, pool: Pool, live: LiveSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._live = live
        self._clock = clock
        self._routes = {name: Route(name, wanted, clock=clock) for name, wanted in live.current.routes.items()}
        # By model: what answered last in the place of stable. Held, so that it can go on whatever the pool forgets.
        self._stable: dict[str, ServedModel] = {}
        # Versions that were found unfit for their arm, so that each is told of once.
        self._unfit: set[tuple[str, int, int]] = set()
        self._protect()

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes by model."""
        return self._routes

    async def start(self) -> None:
        """Waits for the default model's stable version: a replica that only said MODEL_LOADING would not help anybody.

        One that cannot be had is told of in the log; the replica then answers for its other models.
        """
        route = self._routes.get(self._live.current.default_model)
        while route is not None:
            try:
                await self._stable_of(route)
            except Refusal as refusal:
                if refusal.reason is Reason.MODEL_LOADING:
                    await asyncio.sleep(_START_INTERVAL)
                    continue
                logger.error(
                    "model %s: stable version %d cannot be served: %s", route.model, route.settings.stable, refusal
                )
            return

    def reconfigure(self) -> None:
        """Puts the routes of the settings now in force in the place of the ones before."""
        wanted = self._live.current.routes
        for name in self._routes.keys() - wanted.keys():
            # Streams that are open may still hold it: its candidate leaves them, too.
            self._routes.pop(name).change(RouteSettings())
            self._stable.pop(name, None)
        for name, settings in wanted.items():
            before = self._routes.get(name)
            # What would have answered a moment ago, for a new stable version may have to be waited for.
            served = self._pool.request(name, 0 if before is None else before.settings.stable)
            if served is not None:
                self._stable[name] = served
            if before is None:
                self._routes[name] = Route(name, settings, clock=self._clock)
            else:
                before.change(settings)
        self._unfit.clear()
        self._protect()

    async def resolve(self, name: str, version: int) -> Target:
        """Returns what a reference leads to; a version that is named is not routed.

        Args:
            name: Of the model; empty for the default.
            version: Of it; 0 where none is named.

        Raises:
            Refusal: MODEL_NOT_FOUND or MODEL_LOADING.
        """
        route = None if version else self._routes.get(name or self._live.current.default_model)
        if route is None:
            return Target(model=await self._pool.get(name, version))
        return Target(model=await self._stable_of(route), route=route)

    def version(self, route: Route, arm: Arm, stable: ServedModel) -> ServedModel | None:
        """Returns the version of an arm beside stable, or None if it cannot take stable's requests now.

        That is so while it is not loaded, where it is stable itself, and where it reads or tells something else.
        """
        number = route.version(arm)
        if number is None or number == stable.version:
            return None
        served = self._pool.request(route.model, number)
        if served is None or fits(stable.config, served.config):
            return served
        case = (route.model, stable.version, number)
        if case not in self._unfit:
            self._unfit.add(case)
            logger.error(
                "model %s: version %d reads or tells something else than version %d; it cannot be its %s",
                route.model,
                number,
                stable.version,
                arm.value,
            )
        return None

    def snapshot(self) -> tuple[RouteSnapshot, ...]:
        """Returns how the routes fare, by model."""
        return tuple(self._look(self._routes[name]) for name in sorted(self._routes))

    def _look(self, route: Route) -> RouteSnapshot:
        taken_back = route.rollback
        return RouteSnapshot(
            model=route.model,
            percent=route.settings.percent,
            effective_percent=route.percent,
            window=route.settings.window,
            arms=tuple(self._look_at(route, arm) for arm in Arm if route.version(arm) is not None),
            verdict=None if taken_back is None else taken_back.verdict,
            rollback_age=0.0 if taken_back is None else self._clock() - taken_back.at,
        )

    def _look_at(self, route: Route, arm: Arm) -> ArmSnapshot:
        number = route.version(arm) or 0
        stable = self._pool.request(route.model, route.settings.stable) or self._stable.get(route.model)
        served = stable if arm is Arm.STABLE else self._pool.request(route.model, number)
        state = ArmState.LIVE
        if arm is Arm.CANDIDATE and route.rollback is not None:
            state = ArmState.ROLLED_BACK
        elif served is None or stable is None:
            state = ArmState.UNLOADED
        elif arm is not Arm.STABLE and served.version == stable.version:
            state = ArmState.REDUNDANT
        elif not fits(stable.config, served.config):
            state = ArmState.UNFIT
        return ArmSnapshot(
            arm=arm,
            version=number if served is None else served.version,
            sha256="" if served is None else served.sha256,
            state=state,
            statistics=route.statistics[arm],
        )

    async def _stable_of(self, route: Route) -> ServedModel:
        served = self._pool.request(route.model, route.settings.stable) or self._stable.get(route.model)
        if served is None:
            served = await self._pool.get(route.model, route.settings.stable)
        self._stable[route.model] = served
        return served

    def _protect(self) -> None:
        self._pool.protect(
            frozenset((name, version) for name, route in self._routes.items() for version in route.settings.versions())
        )


def fits(stable: ModelConfig, other: ModelConfig) -> bool:
    """Tells whether a version can take another one's requests: same windows in, same classes and regressions out."""
    return _interface(stable) == _interface(other)


def _interface(config: ModelConfig) -> tuple[object, ...]:
    network = config.network
    return (
        config.feature_schema,
        config.bar_interval_seconds,
        network.feature_count,
        network.time_steps,
        network.class_labels,
        network.regression_names,
    )

"""Lets probes hear what a replica's parts say of themselves.

Owns the way from the scheduler and the models to `Health`; judges nothing, `readiness` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from server.health.health import PREDICTION_SERVICE, Health
from server.health.readiness import Readiness, Situation, judge

_INTERVAL = 0.25


class Alive(Protocol):
    """What the scheduler tells of its own life; the `Batcher`."""

    @property
    def alive(self) -> bool:
        """Whether it gets through its passes."""
        ...

    @property
    def has_hung(self) -> bool:
        """Whether an engine call ever hung."""
        ...


class HoldsModels(Protocol):
    """Which versions can answer; the `ModelPool`."""

    def loaded(self) -> Collection[tuple[str, int]]:
        """Returns their names and version numbers."""
        ...

    def is_default(self, key: tuple[str, int]) -> bool:
        """Tells whether a version answers requests that name none."""
        ...


class HealthWatch:
    """Keeps `Health` up to date.

    Args:
        health: Where probes look.
        scheduler: The replica's scheduler.
        models: The replica's models.
    """

    def __init__(self, health: Health, *, scheduler: Alive, models: HoldsModels) -> None:
        self._health = health
        self._scheduler = scheduler
        self._models = models
        self._started = self._draining = self._stopped = False
        health.attach()

    def started(self) -> None:
        """Takes note that start-up is over."""
        self._started = True
        self.update()

    def drain(self) -> None:
        """Takes note that the replica has been told to go: it is NOT_SERVING from now on, and answers all the same."""
        self._draining = True
        self.update()
        self._health.drain()

    def stop(self) -> None:
        """Takes note that the replica has been closed."""
        self._stopped = True
        self.update()

    def readiness(self) -> Readiness:
        """Returns whether the replica takes requests now, and why not."""
        return judge(
            Situation(
                started=self._started,
                draining=self._draining,
                stopped=self._stopped,
                loop_alive=self._scheduler.alive,
                engine_hung=self._scheduler.has_hung,
                model_loaded=any(map(self._models.is_default, self._models.loaded())),
            )
        )

    def update(self) -> None:
        """Tells probes of the whole replica, of the prediction service and of each model that is loaded."""
        ready = self.readiness().ready
        names = {"", PREDICTION_SERVICE, *(name for name, _ in self._models.loaded())}
        for name in self._health.services() - names:
            self._health.forget(name)
        for name in names:
            self._health.set_serving(name, serving=ready)

    async def run(self) -> None:
        """Follows the parts, which may change without any request; ends only by cancellation."""
        while True:
            self.update()
            await asyncio.sleep(_INTERVAL)

"""Makes a replica's engine compute a dummy window from time to time, and keeps what was found.

Owns when that happens. It happens in a moment in which nothing else waits, outside of queues, caches, routes, costs and
all figures (`batching.aside`); options only trim replies, so no reply means that both are off. The judgement is
`deep_health`'s. Knows nothing of RPCs or HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np

from batching import Completion, EngineHungError, InferenceFailedError, NoTurnError, SchedulerClosedError
from server.config.health_settings import SHORTEST_INTERVAL, HealthSettings
from server.health.deep_health import DeepHealth, failed, measured
from server.inference.computed_row import ComputedRow
from server.inference.predictor import Work
from server.models.served_model import ServedModel

logger = logging.getLogger("tickserve")

# Whoever asks waits for an idle moment, and then so many seconds for the engine.
_ENGINE_PATIENCE = 1.0


class RunsAside(Protocol):
    """What runs a payload while nothing else waits; the `Batcher`."""

    async def run_aside(self, batch_key: str, payload: Work, *, patience: float) -> Completion[ComputedRow]:
        """Returns its result, or raises why there is none; see `batching.Batcher`."""
        ...


class DeepCheck:
    """Checks the engine every `deep_interval` seconds, and when somebody asks; `run` must be running.

    Args:
        scheduler: Runs the window.
        model: Returns the version that is checked, None while there is none.
        settings: Returns the settings in force.
        clock: Monotonic seconds.
        wall_clock: Seconds since the epoch.
        timeout: Bounds a wait; as `asyncio.timeout`.
    """

    def __init__(
        self,
        scheduler: RunsAside,
        *,
        model: Callable[[], ServedModel | None],
        settings: Callable[[], HealthSettings],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        timeout: Callable[[float | None], AbstractAsyncContextManager[object]] = asyncio.timeout,
    ) -> None:
        self._scheduler = scheduler
        self._model = model
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._timeout = timeout
        self._health = DeepHealth()
        self._is_running = False
        self._is_checking = False
        self._asked = False
        self._begun_at: float | None = None
        self._news = asyncio.Event()  # somebody asks, or the settings have changed
        self._ended = asyncio.Event()  # set, and replaced, at the end of each check

    @property
    def health(self) -> DeepHealth:
        """What was found last."""
        return self._health

    async def run(self) -> None:
        """Checks at once, and then whenever a check is due; ends only by cancellation."""
        self._is_running = True
        try:
            while True:
                if self._asked or self._due_in() == 0.0:
                    await self._check()
                    continue
                with contextlib.suppress(TimeoutError):
                    async with self._timeout(self._due_in()):
                        await self._news.wait()
                self._news.clear()
        finally:
            self._is_running = False
            self._tell()

    async def ask(self) -> DeepHealth:
        """Returns what a check finds now, or found within the last second; what was found before, if it takes long."""
        if not self._is_running:
            return self._health
        if not self._is_checking:
            if self._begun_at is not None and self._clock() - self._begun_at < SHORTEST_INTERVAL:
                return self._health
            self._asked = True
            self._news.set()
        ended = self._ended
        with contextlib.suppress(TimeoutError):
            async with self._timeout(self._settings().deep_patience + _ENGINE_PATIENCE):
                await ended.wait()
        return self._health

    def reconfigure(self) -> None:
        """Looks at the settings anew."""
        self._news.set()

    def _due_in(self) -> float | None:
        """Returns the seconds until the next check, None if none is due by itself."""
        interval = self._settings().deep_interval
        if not interval:
            return None
        if self._begun_at is None:
            return 0.0
        return max(0.0, self._begun_at + interval - self._clock())

    async def _check(self) -> None:
        self._asked = False
        self._is_checking = True
        self._begun_at = self._clock()
        before = self._health.state
        try:
            self._health = await self._look()
        finally:
            self._is_checking = False
            self._tell()
        found = self._health
        if found.state is not before:
            level = logging.INFO if found.is_healthy else logging.WARNING
            logger.log(
                level,
                "deep check: %s after %s: %s",
                found.state.name.lower(),
                before.name.lower(),
                found.error or f"{found.engine_duration * 1e3:.1f} ms in the engine",
            )

    async def _look(self) -> DeepHealth:
        model = self._model()
        if model is None:
            return failed("no version of the default model is loaded", at=self._wall_clock())
        settings = self._settings()
        work = Work(window=dummy_window(model), model=model, is_probe=True)
        try:
            completion = await self._scheduler.run_aside(model.sha256, work, patience=settings.deep_patience)
        except NoTurnError as error:
            return self._health.skipped(error.waited)
        except SchedulerClosedError:
            return self._health
        except EngineHungError as error:
            return failed(str(error), at=self._wall_clock())
        except InferenceFailedError:
            # What exactly is in the log; it is nobody's business who asks over the network.
            return failed("the engine failed", at=self._wall_clock())
        if completion.result.row is None:
            return failed("the answer was not finite or not normalised", at=self._wall_clock())
        return measured(
            at=self._wall_clock(),
            engine=completion.inference_duration,
            queue=completion.queue_duration,
            degraded_above=settings.degraded_above,
        )

    def _tell(self) -> None:
        self._ended, old = asyncio.Event(), self._ended
        old.set()


def dummy_window(model: ServedModel) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Returns a window as the version reads it, `[features, steps]` float32 in [0, 1): the same one each time."""
    network = model.config.network
    return np.random.default_rng(0).random((network.feature_count, network.time_steps), dtype=np.float32)

"""One replica: the composition root of everything that serves requests in one process, with or without Ray.

Owns the order of start and stop, and what the parts are given. Decides nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from batching import Batcher
from model.outputs import OutputRow
from model.registry import Registry
from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.health.health import PREDICTION_SERVICE, Health
from server.inference.batch_runner import BatchRunner
from server.inference.predictor import Predictor, Work
from server.models.model_pool import ModelPool
from server.models.served_model import ServedModel
from server.models.version_source import RegistrySource
from server.results.known_results import KnownResults, SharedResults
from server.results.redis_result_cache import RedisResultCache
from server.routes.route_table import RouteTable
from server.routes.routed_predictor import RoutedPredictor
from server.rpc.dispatch import Dispatcher
from server.rpc.model_service import ModelService
from server.rpc.prediction_service import PredictionService
from server.rpc.tick_service import TickService
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from server.statistics.statistics_board import StatisticsBoard
from server.windows.memory_window_store import MemoryWindowStore
from server.windows.redis_window_store import RedisWindowStore
from server.windows.window_store import WindowStore

_HEALTH_INTERVAL = 0.25
_PUBLISH_INTERVAL = 1.0

logger = logging.getLogger("tickserve")


class Replica:
    """Everything that one process needs to answer.

    Args:
        settings: The server's settings.
        replica_id: Identifies the process in answers and statistics.
        health: Where probes look.
        on_hang: Called when the engine hangs for good; must end the process, for nothing else can.
        board: Where replicas tell each other of themselves; None where there is only one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        replica_id: str,
        health: Health,
        on_hang: Callable[[], None],
        board: StatisticsBoard | None = None,
    ) -> None:
        self._replica_id = replica_id
        self._health = health
        self._board = board
        self._started_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._live = LiveSettings(settings)
        registry = Registry(settings.registry)
        self._batcher: Batcher[Work, OutputRow | None] = Batcher(
            BatchRunner(), config=settings.scheduler.to_config(), bind=Work.bound, on_hang=on_hang
        )
        self._pool = ModelPool(RegistrySource(registry, self._live), self._live, on_loaded=self._model_loaded)
        self._windows = _window_store(settings)
        self._known = KnownResults(self._live, connect=_connect_redis)
        predictor = Predictor(self._batcher, replica_id=replica_id, known=self._known, on_invalid=self._quarantine)
        self._routes = RouteTable(self._pool, self._live)
        self._routed = RoutedPredictor(predictor, self._routes, statistics=self._batcher.statistics)
        predictions = PredictionService(predictor=self._routed, windows=self._windows, live=self._live)
        self._idempotency = predictions.idempotency
        self._ticks = TickService(predictor=self._routed, windows=self._windows, live=self._live)
        self._models = models = ModelService(
            registry=registry, pool=self._pool, snapshot=self.snapshot, board=board, live=self._live
        )
        self.dispatcher = Dispatcher(
            unary={
                "Predict": predictions.predict,
                "PredictBatch": predictions.predict_batch,
                "ListModels": models.list_models,
                "GetModel": models.get_model,
                "GetStatistics": models.get_statistics,
            },
            streamed={"StreamPredict": predictions.stream_predict, "StreamTicks": self._ticks.stream_ticks},
        )

    async def start(self) -> None:
        """Starts the scheduler, loads and warms up the default model, and turns health to SERVING.

        Raises:
            model.errors.ModelError: The default model cannot be served; the message names file, reason and remedy.
        """
        self._known.apply_settings()
        await self._windows.start()
        await self._batcher.start()
        await self._pool.start()
        await self._routes.start()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._watch_health()))
        self._tasks.append(loop.create_task(self._watch_registry()))
        if self._board is not None:
            self._tasks.append(loop.create_task(self._publish_statistics(self._board)))

    def reconfigure(self, settings: Settings) -> None:
        """Puts other live settings in force, for what arrives from now on."""
        self._live.change(settings)
        self._batcher.reconfigure(settings.scheduler.to_config())
        self._windows.max_symbols = settings.max_symbols
        self._known.apply_settings()
        self._routes.reconfigure()

    async def drain(self) -> None:
        """Asks the clients of tick streams to go elsewhere, and ends those that stay; answers all else as before."""
        await self._ticks.drain(self._live.current.stream_drain_grace)

    async def close(self) -> None:
        """Turns health to NOT_SERVING, finishes what was accepted, and frees threads. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._health.set_all(serving=False)
        await self._routed.close()
        await self._batcher.close(drain=True)
        await self._windows.close()
        await self._known.close()
        self._pool.close()

    def is_serving(self) -> bool:
        """Tells whether the default model answers and the scheduler is well."""
        return self._batcher.healthy and bool(self._pool.loaded())

    def snapshot(self) -> ReplicaSnapshot:
        """Returns the replica's figures now."""
        results, shared = self._known.statistics()
        return ReplicaSnapshot(
            replica_id=self._replica_id,
            scheduler=self._batcher.statistics(),
            uptime=time.monotonic() - self._started_at,
            open_streams=self._ticks.open_stream_count,
            symbols=len(self._windows),
            profile=self._live.current.profile,
            routes=self._routes.snapshot(),
            ticks=self._ticks.counters,
            store_failures=self._windows.failure_count,
            cache=CacheFigures(results=results, shared=shared, request_ids=self._idempotency.statistics()),
        )

    def _model_loaded(self, served: ServedModel) -> None:
        for size, seconds in served.warm_up.items():
            self._batcher.observe_warm_up(served.sha256, size, seconds)
        self._update_health()

    def _quarantine(self, served: ServedModel) -> None:
        self._pool.quarantine(served.key, "an answer was not finite or not normalised")

    def _update_health(self) -> None:
        serving = self.is_serving()
        names = {"", PREDICTION_SERVICE, *(name for name, _ in self._pool.loaded())}
        for name in self._health.services() - names:
            self._health.forget(name)
        for name in names:
            self._health.set_serving(name, serving=serving)

    async def _watch_health(self) -> None:
        """Follows the scheduler's own health, which may change without any request."""
        while True:
            self._update_health()
            await asyncio.sleep(_HEALTH_INTERVAL)

    async def _watch_registry(self) -> None:
        """Lets new versions appear without a restart; a registry that is gone costs them, and this replica nothing."""
        while True:
            await asyncio.sleep(self._live.current.models.poll_interval)
            try:
                await self._pool.refresh()
            except Exception:
                logger.exception("the registry could not be looked at")

    async def _publish_statistics(self, board: StatisticsBoard) -> None:
        """Tells the other replicas of this one; a board that is gone costs them news, and this one nothing."""
        while True:
            await asyncio.sleep(_PUBLISH_INTERVAL)
            try:
                await board.publish(self._replica_id, self._models.serialized_snapshot())
            except Exception as error:
                logger.warning("statistics were not published: %s", error)


def _connect_redis(settings: CacheSettings) -> SharedResults:
    return RedisResultCache(settings.redis_url, ttl=settings.redis_ttl, timeout=settings.redis_timeout)


def _window_store(settings: Settings) -> WindowStore:
    if settings.windows.store == "redis":
        return RedisWindowStore(settings.windows, max_symbols=settings.max_symbols)
    return MemoryWindowStore(settings.windows, max_symbols=settings.max_symbols)

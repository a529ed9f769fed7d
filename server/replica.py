"""One replica: the composition root of everything that serves requests in one process, with or without Ray.

Owns the order of start and stop, and what the parts are given. Decides nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from batching import Batcher
from model.registry import Registry
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.health.deep_check import DeepCheck
from server.health.deep_health import DeepHealth
from server.health.engine_failures import EngineFailures
from server.health.health import Health
from server.health.health_watch import HealthWatch
from server.health.readiness import Readiness
from server.http.console_feed import ConsoleFeed
from server.inference.batch_runner import BatchRunner
from server.inference.computed_row import ComputedRow
from server.inference.predictor import Predictor, Work
from server.inference.shared_traces import SharedTraces
from server.models.model_pool import ModelPool
from server.models.served_model import ServedModel
from server.models.version_source import RegistrySource
from server.observation.observer import Observer
from server.observation.request_watch import RequestWatcher
from server.observation.sampler import Sampler
from server.replica_door import open_door
from server.replica_halts import ReplicaHalts
from server.replica_news import ReplicaNews
from server.replica_oip import ReplicaOip
from server.replica_stores import caller_limits, connect_results, window_store
from server.replica_telemetry import ReplicaTelemetry
from server.results.known_results import KnownResults
from server.routes.route_table import RouteTable
from server.routes.routed_predictor import RoutedPredictor
from server.rpc.dispatch import Dispatcher
from server.rpc.errors import reason_of
from server.rpc.model_service import ModelService
from server.rpc.prediction_service import PredictionService
from server.rpc.refusal_hold import RefusalHold
from server.rpc.tick_service import TickService
from server.security.authorizer import Authorizer
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from server.statistics.statistics_board import StatisticsBoard


class Replica:
    """Everything that one process needs to answer.

    Args:
        settings: The server's settings.
        replica_id: Identifies the process in answers and statistics.
        health: Where probes look.
        on_hang: Called when the engine hangs for good; must end the process, for nothing else can.
        board: Where replicas tell each other of themselves; None where there is only one.
        observers: Told of every request, batch and RPC that ends.
        sampler: Places calls in traces, at the seam; None where no seam is told of the settings.
        authorizer: Lets calls in, at the seam; likewise. Opened by `start`.
        node_id: Where it runs, as Ray names it; empty without Ray.

    Attributes:
        console: What viewers of the console are told from.
        dispatcher: Serves RPCs.
        telemetry: Watches all of it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        replica_id: str,
        health: Health,
        on_hang: Callable[[], None],
        board: StatisticsBoard | None = None,
        observers: Sequence[Observer] = (),
        sampler: Sampler | None = None,
        authorizer: Authorizer | None = None,
        node_id: str = "",
    ) -> None:
        self._replica_id = replica_id
        self._board = board
        self._started_at = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._live = LiveSettings(settings)
        self._authorizer = authorizer or Authorizer()
        registry = Registry(settings.registry)
        self._failures = failures = EngineFailures(check=self.check_deep, on_dead=on_hang)
        self.telemetry = telemetry = ReplicaTelemetry(
            settings,
            replica_id=replica_id,
            node_id=node_id,
            sampler=sampler or Sampler(),
            observers=(*observers, failures),
            authorizer=self._authorizer,
        )
        shared_traces = SharedTraces()
        self._batcher: Batcher[Work, ComputedRow] = Batcher(
            BatchRunner(telemetry.observers.batch_ended, shared_traces=shared_traces),
            config=settings.scheduler.to_config(),
            bind=Work.bound,
            on_hang=on_hang,
        )
        self._pool = ModelPool(RegistrySource(registry, self._live), self._live, on_loaded=self._model_loaded)
        self._health = HealthWatch(health, scheduler=self._batcher, models=self._pool)
        self._deep_check = DeepCheck(
            self._batcher, model=self._pool.default, settings=lambda: self._live.current.health
        )
        self._windows = window_store(settings)
        self._halts = halts = ReplicaHalts(self._live, self._authorizer)
        self._known = KnownResults(self._live, connect=connect_results(settings.redis_password_file))
        predictor = Predictor(
            self._batcher,
            replica_id=replica_id,
            known=self._known,
            shared_traces=shared_traces,
            on_invalid=self._quarantine,
        )
        self._routes = RouteTable(self._pool, self._live)
        self._routed = RoutedPredictor(
            halts.around(predictor), self._routes, statistics=self._batcher.statistics, gate=telemetry.logs.gate
        )
        watcher = RequestWatcher(telemetry.observers, now=self._routed.now, reason_of=reason_of)
        self._limits = limits = caller_limits(self._live)
        predictions = PredictionService(
            predictor=self._routed,
            windows=self._windows,
            live=self._live,
            watcher=watcher,
            limits=limits,
            streams=halts.streams,
        )
        self._idempotency = predictions.idempotency
        self._ticks = TickService(
            predictor=self._routed,
            windows=self._windows,
            live=self._live,
            watcher=watcher,
            limits=limits,
            halts=halts.view,
            open_streams=halts.streams,
        )
        self._models = models = ModelService(
            registry=registry,
            pool=self._pool,
            snapshot=self.snapshot,
            board=board,
            live=self._live,
            check=self._deep_check.ask,
        )
        oip = ReplicaOip(
            pool=self._pool,
            registry=registry,
            live=self._live,
            readiness=self.readiness,
            predictor=self._routed,
            watcher=watcher,
            limits=limits,
            halts=halts,
            figures=telemetry.inference_figures,
        )
        self.console = ConsoleFeed(
            replica_id=replica_id,
            statistics=models.statistics,
            recent=telemetry.recent,
            board=board,
            max_viewers=settings.console.max_viewers,
        )
        self._hold = RefusalHold(longest=lambda: self._live.current.limits.refusal_hold)
        self.dispatcher = Dispatcher(
            unary={
                "Predict": predictions.predict,
                "PredictBatch": predictions.predict_batch,
                **models.methods,
                **halts.methods,
                **oip.unary,
            },
            streamed={"StreamPredict": predictions.stream_predict, "StreamTicks": self._ticks.stream_ticks}
            | oip.streamed,
            observer=telemetry.observers,
            leaving=halts.leaving,
            hold=self._hold.hold,
        )

    async def start(self) -> None:
        """Starts the scheduler, loads and warms up the default model, and turns health to SERVING.

        Raises:
            model.errors.ModelError: The default model cannot be served; the message names file, reason and remedy.
            Exception: The door could not be opened; see `open_door`.
        """
        await self._halts.load()
        await open_door(self._authorizer, self._live.current)
        self._known.apply_settings()
        self._limits.start()
        await self.telemetry.start(self._live.current)
        await self._windows.start()
        await self._batcher.start()
        await self._pool.start()
        await self._routes.start()
        loop = asyncio.get_running_loop()
        self._health.started()
        work = [self._health.run(), self._deep_check.run(), self._failures.run(), self._pool.run()]
        work += self._halts.work()
        work += self.telemetry.work(self.snapshot, loaded=self._pool.loaded, open_streams=self.dispatcher.open_streams)
        if self._board is not None:
            work.append(self._news(self._board).run())
        self._tasks += map(loop.create_task, work)

    def reconfigure(self, settings: Settings) -> None:
        """Puts other live settings in force, for what arrives from now on."""
        self._live.change(settings)
        self._batcher.reconfigure(settings.scheduler.to_config())
        self._windows.max_symbols = settings.max_symbols
        self._known.apply_settings()
        self._routes.reconfigure()
        self.telemetry.reconfigure(settings)
        self._deep_check.reconfigure()

    async def drain(self) -> None:
        """Turns health to NOT_SERVING, asks tick streams to go elsewhere and ends those that stay; answers all else."""
        self._health.drain()
        self.console.close()
        await self._ticks.drain(self._live.current.stream_drain_grace)

    async def close(self) -> None:
        """Turns health to NOT_SERVING, finishes what was accepted, and frees threads. Idempotent."""
        self.console.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._health.stop()
        await self._routed.close()
        await self._batcher.close(drain=True)
        await self._windows.close()
        await self._known.close()
        await self._limits.close()
        await self._halts.close()
        self._pool.close()
        await asyncio.to_thread(self._authorizer.close)
        await self.telemetry.close()

    def is_serving(self) -> bool:
        """Tells whether the default model answers and the scheduler is well, drain or not."""
        return self._batcher.healthy and bool(self._pool.loaded())

    def readiness(self) -> Readiness:
        """Returns whether the replica takes requests, and what keeps it from it."""
        return self._health.readiness()

    async def check_deep(self) -> DeepHealth:
        """Returns what a check of the engine finds now, or found within the last second."""
        return await self._deep_check.ask()

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
            readiness=self._health.readiness(),
            deep_health=self._deep_check.health,
            loop_lag=self.telemetry.loop_lag.greatest,
            refused_calls=dict(self._authorizer.refusals),
            keys=self._authorizer.key_state,
            halts=self._halts.state,
            cache=CacheFigures(results=results, shared=shared, request_ids=self._idempotency.statistics()),
        )

    def _model_loaded(self, served: ServedModel) -> None:
        for size, seconds in served.warm_up.items():
            self._batcher.observe_warm_up(served.sha256, size, seconds)
        self._health.update()

    def _quarantine(self, served: ServedModel) -> None:
        self._pool.quarantine(served.key, "an answer was not finite or not normalised")

    def _news(self, board: StatisticsBoard) -> ReplicaNews:
        return ReplicaNews(
            board,
            replica_id=self._replica_id,
            figures=self._models.serialized_snapshot,
            recent=self.telemetry.recent,
            counts=lambda: self._limits.is_used or self._hold.is_used,
            on_others=(self._hold.note_others, lambda others: self._limits.note_replicas(1 + others)),
        )

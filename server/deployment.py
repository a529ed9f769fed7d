"""The Ray Serve deployment: hands each RPC to the replica it wraps.

One of the few files that import Ray. Ray Serve calls the method that has the RPC's short name, with the raw bytes that
the seam (`ingress`) left alone, and ends the RPC with what was set on `grpc_context`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from typing import Any

import ray
from fastapi import FastAPI
from google.protobuf.message import Message
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext, gRPCInputStream

from server import interpreter, runtime_env
from server.autoscaling.replica_load import ReplicaLoad
from server.config.given_settings import GivenSettings
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings
from server.deployment_oip import OipMethods
from server.health.drain_watch import DrainWatch
from server.health.health import process_health
from server.health.loop_watchdog import LoopWatchdog
from server.http.api import API_RIGHTS, api_routers
from server.http.console_routes import console_router
from server.http.http_app import build_http_app
from server.http.http_call import ApiSource
from server.http.original_stats import EngineTally
from server.observation.sampler import process_sampler
from server.replica import Replica
from server.rpc.dispatch import Dispatcher, NoMessage
from server.security.authorizer import process_authorizer
from server.serve_config import SCALE_FIELDS
from server.statistics.ray_statistics_board import RayStatisticsBoard
from server.telemetry.logging_setup import Logs, log_to_replica_file
from server.telemetry.scrape_port import Page

logger = logging.getLogger("ray.serve")

# Seconds between the end of hope and the end of the process.
_LAST_WORDS = 0.5


class HungEngineError(RuntimeError):
    """The replica cannot answer and must be replaced."""


class PredictorDeployment(OipMethods):
    """One replica of the service; `app` makes a deployment of it.

    Args:
        settings: The settings that need a new replica to change, as plain data.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        runtime_env.check()
        self._settings = settings
        self._replica: Replica | None = None
        self._logs: Logs | None = None
        self._live: Settings | None = None
        self._tally = EngineTally()
        self._load = ReplicaLoad()
        self._load_watch: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Returns the HTTP side; Ray Serve asks for it after the constructor."""
        console = console_router(lambda: self._replica.console if self._replica is not None else None)

        def metrics() -> Page | None:
            return self._replica.telemetry.metrics.page if self._replica is not None else None

        def api() -> ApiSource | None:
            if self._replica is None or self._live is None:
                return None
            return ApiSource(dispatcher=self._replica.dispatcher, settings=self._live)

        return build_http_app(
            lambda: self._replica,
            metrics=metrics,
            routers=[console, *api_routers(api, sampler=process_sampler, tally=self._tally)],
            authorizer=process_authorizer,
            rights=API_RIGHTS,
        )

    async def reconfigure(self, live: dict[str, Any]) -> None:
        """Puts the live settings in force: Ray Serve calls it before the first request, and whenever they change.

        Args:
            live: The settings of `LIVE_FIELDS` and `SCALE_FIELDS` as plain data; at the first time others as well,
                which then win over the constructor's (`server.renewal`).
        """
        if self._replica is None:
            self._settings = {**self._settings, **live}
        else:
            known = (LIVE_FIELDS | SCALE_FIELDS) & live.keys()
            self._settings = {**self._settings, **{name: live[name] for name in known}}
        settings = GivenSettings(**self._settings)
        self._live = settings
        replica_id = serve.get_replica_context().replica_id.unique_id
        if self._logs is None:
            self._logs = log_to_replica_file(settings.log, replica_id)
        self._logs.apply(settings.log)
        self._loop_timeout = settings.health.loop_timeout
        if self._replica is not None:
            self._replica.reconfigure(settings)
            return
        replica = Replica(
            settings,
            replica_id=replica_id,
            health=process_health,
            on_hang=_end_process,
            board=RayStatisticsBoard(),
            observers=[self._tally, self._load],
            sampler=process_sampler,
            authorizer=process_authorizer,
            node_id=ray.get_runtime_context().get_node_id(),
        )
        await replica.start()
        interpreter.settle()
        self._replica = replica
        self._drain_watch = asyncio.get_running_loop().create_task(DrainWatch(replica.drain).run())
        self._watchdog = LoopWatchdog(_leave, timeout=lambda: self._loop_timeout)
        self._watchdog.start()

    async def check_health(self) -> None:
        """Tells Ray Serve to replace a replica that can answer no more.

        Raises:
            HungEngineError: The scheduler's loop or its engine is dead.
        """
        if not self._is_serving():
            raise HungEngineError("the scheduler does not make progress; the replica must be replaced")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tells Ray Serve's controller of the load since the last time; asked only where replicas are autoscaled."""
        if self._replica is not None and self._load_watch is None:
            replica = self._replica
            watch = self._load.run(lambda: replica.snapshot().scheduler)
            self._load_watch = asyncio.get_running_loop().create_task(watch)
        return self._load.report()

    async def __del__(self) -> None:
        """Finishes what was accepted; Ray Serve calls it after the drain."""
        replica: Replica | None = getattr(self, "_replica", None)
        if replica is not None:
            self._drain_watch.cancel()
            self._watchdog.stop()
            if (watch := getattr(self, "_load_watch", None)) is not None:
                watch.cancel()
            await replica.close()
        if (logs := getattr(self, "_logs", None)) is not None:
            await asyncio.to_thread(logs.close)

    @property
    def _dispatcher(self) -> Dispatcher:
        assert self._replica is not None, "Ray Serve configures a replica before it sends it requests"
        return self._replica.dispatcher

    def _is_serving(self) -> bool:
        return self._replica is not None and self._replica.is_serving()

    async def Predict(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `PredictionService/Predict`."""
        return await self._dispatcher.unary("Predict", request, grpc_context)

    async def PredictBatch(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `PredictionService/PredictBatch`."""
        return await self._dispatcher.unary("PredictBatch", request, grpc_context)

    async def ListModels(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `ModelService/ListModels`."""
        return await self._dispatcher.unary("ListModels", request, grpc_context)

    async def GetModel(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `ModelService/GetModel`."""
        return await self._dispatcher.unary("GetModel", request, grpc_context)

    async def GetStatistics(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `ModelService/GetStatistics`."""
        return await self._dispatcher.unary("GetStatistics", request, grpc_context)

    async def Halt(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `HaltService/Halt`."""
        return await self._dispatcher.unary("Halt", request, grpc_context)

    async def Resume(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `HaltService/Resume`."""
        return await self._dispatcher.unary("Resume", request, grpc_context)

    async def ListHalts(self, request: bytes, grpc_context: RayServegRPCContext) -> Message | NoMessage:
        """Serves `HaltService/ListHalts`."""
        return await self._dispatcher.unary("ListHalts", request, grpc_context)

    async def StreamPredict(
        self, requests: gRPCInputStream, grpc_context: RayServegRPCContext
    ) -> AsyncGenerator[Message, None]:
        """Serves `PredictionService/StreamPredict`."""
        async for response in self._dispatcher.streamed("StreamPredict", requests, grpc_context):
            yield response

    async def StreamTicks(
        self, requests: gRPCInputStream, grpc_context: RayServegRPCContext
    ) -> AsyncGenerator[Message, None]:
        """Serves `PredictionService/StreamTicks`."""
        async for response in self._dispatcher.streamed("StreamTicks", requests, grpc_context):
            yield response


def _end_process() -> None:
    """Ends the process shortly: a thread that hangs in native code cannot be ended in any other way.

    The pause lets the failed members' answers and the change of health reach their readers.
    """
    logger.critical("the engine hangs, or always fails; ending the process so that Ray Serve replaces the replica")
    asyncio.get_running_loop().call_later(_LAST_WORDS, os._exit, 70)


def _leave() -> None:
    """Ends the process from another thread than the loop's, which does nothing any more."""
    time.sleep(_LAST_WORDS)  # for the log's thread
    os._exit(70)

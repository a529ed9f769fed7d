"""`tickserve.v1.ModelService`: which models there are, which answer and how, and how the replica fares."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from google.protobuf.message import Message

from model.model_config import ModelConfig
from model.registry import Registry
from server.call import Call
from server.config.live_settings import LiveSettings
from server.models.loaded_versions import Key
from server.models.model_pool import ModelPool
from server.models.registry_view import RegistryView
from server.refusal import Reason, Refusal
from server.rpc.decode import Received, parse
from server.rpc.encode import write_span
from server.rpc.encode_statistics import write_statistics
from server.statistics.replica_snapshot import ReplicaSnapshot
from server.statistics.statistics_board import StatisticsBoard
from tickserve.v1 import prediction_pb2
from tickserve.v1.model_service_pb2 import (
    Engine,
    GetModelRequest,
    GetModelResponse,
    GetStatisticsRequest,
    GetStatisticsResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    ModelState,
    ReplicaStatistics,
)

logger = logging.getLogger("tickserve")

_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_STATES: Mapping[str, ModelState.ValueType] = {
    "available": ModelState.MODEL_STATE_AVAILABLE,
    "loading": ModelState.MODEL_STATE_LOADING,
    "serving": ModelState.MODEL_STATE_SERVING,
    "failed": ModelState.MODEL_STATE_FAILED,
}


class ModelService:
    """Serves the model RPCs.

    Args:
        registry: Where versions lie.
        pool: Which of them are loaded.
        snapshot: Looks at this replica.
        board: Knows of the others; None where there are none.
        live: Limits.
        check: Has the engine checked; returns when that is done, soon in any case. None where nothing can.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        pool: ModelPool,
        snapshot: Callable[[], ReplicaSnapshot],
        board: StatisticsBoard | None,
        live: LiveSettings,
        check: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._check = check
        self._view = RegistryView(registry, pool)
        self._pool = pool
        self._snapshot = snapshot
        self._board = board
        self._live = live

    @property
    def methods(self) -> Mapping[str, Callable[[Received, Call], Awaitable[Message]]]:
        """The RPCs, by short name."""
        return {"ListModels": self.list_models, "GetModel": self.get_model, "GetStatistics": self.get_statistics}

    async def list_models(self, data: Received, call: Call) -> Message:
        """Lists the versions of all models, by name, newest version first."""
        del call
        request = parse(ListModelsRequest, data, max_bytes=self._live.current.max_request_bytes)
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise Refusal(Reason.LIMIT_EXCEEDED, f"page_size must lie between 0 and {_MAX_PAGE}.", field="page_size")
        start = _read_page_token(request.page_token)
        end = start + (request.page_size or _DEFAULT_PAGE)
        keys, configs = await asyncio.get_running_loop().run_in_executor(None, self._read_page, start, end)
        models = [self._describe(key, config) for key, config in configs.items()]
        return ListModelsResponse(models=models, next_page_token=str(end) if end < len(keys) else "")

    async def get_model(self, data: Received, call: Call) -> Message:
        """Describes one version."""
        del call
        request = parse(GetModelRequest, data, max_bytes=self._live.current.max_request_bytes)
        key = await self._pool.find(request.model.name, request.model.version)
        config = await asyncio.get_running_loop().run_in_executor(None, self._view.config, key)
        return GetModelResponse(model=self._describe(key, config))

    async def get_statistics(self, data: Received, call: Call) -> Message:
        """Gives this replica's statistics, then the others' with their age."""
        del call
        request = parse(GetStatisticsRequest, data, max_bytes=self._live.current.max_request_bytes)
        if request.deep_check and self._check is not None:
            await self._check()
        return GetStatisticsResponse(replicas=await self.statistics())

    async def statistics(self) -> list[ReplicaStatistics]:
        """Returns this replica's statistics, then the others' with their age."""
        own = self._statistics()
        return [own, *await self._others(own.replica_id)]

    def serialized_snapshot(self) -> bytes:
        """Returns this replica's figures as the others will pass them on."""
        return self._statistics().SerializeToString()

    def _statistics(self) -> ReplicaStatistics:
        return write_statistics(self._snapshot(), self._pool.loaded().values())

    async def _others(self, replica_id: str) -> list[ReplicaStatistics]:
        if self._board is None:
            return []
        others = []
        try:
            for age, figures in await self._board.others(replica_id):
                other = ReplicaStatistics.FromString(figures)
                other.sample_age.CopyFrom(write_span(age))
                others.append(other)
        except Exception as error:
            # The caller asked how the service fares: what is known of this replica is worth more than an error.
            logger.warning("the other replicas' statistics cannot be had: %s", error)
        return others

    def _read_page(self, start: int, end: int) -> tuple[list[Key], dict[Key, ModelConfig | None]]:
        keys = self._view.keys()
        return keys, {key: self._view.config(key) for key in keys[start:end]}

    def _describe(self, key: Key, config: ModelConfig | None) -> Model:
        name, version = key
        model = Model(
            version=prediction_pb2.ModelVersion(name=name, version=version, sha256=config.sha256 if config else ""),
            # A version whose configuration cannot be read could not be loaded either.
            state=_STATES[self._pool.state(key)] if config else ModelState.MODEL_STATE_FAILED,
            is_default=self._pool.is_default(key),
        )
        if config is not None:
            network = config.network
            model.feature_schema = config.feature_schema
            model.feature_count, model.time_steps = network.feature_count, network.time_steps
            model.class_labels.extend(network.class_labels)
            model.regression_names.extend(network.regression_names)
            model.bar_interval.CopyFrom(write_span(config.bar_interval_seconds))
            model.prediction_horizon = config.prediction_horizon
            model.training_metrics.update(_numbers("", config.training))
        served = self._pool.loaded().get(key)
        if served is not None:
            info = served.engine.info
            model.engine.CopyFrom(
                Engine(
                    name=info.name,
                    device=info.device,
                    precision=info.precision,
                    thread_count=info.threads,
                    reason=info.reason,
                )
            )
        return model


def _read_page_token(token: str) -> int:
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 9:
        raise Refusal(
            Reason.MALFORMED_MESSAGE, "page_token must be the next_page_token of an answer.", field="page_token"
        )
    return int(token)


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields the numbers of a nested mapping under dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}{name}.", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)

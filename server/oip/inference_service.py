"""`inference.GRPCInferenceService`, the methods that tell of the server and its models; `infer_service` predicts."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message
from tritonclient.grpc import service_pb2

from model.model_config import ModelConfig
from server.call import Call
from server.config.live_settings import LiveSettings
from server.health.readiness import Readiness
from server.models.loaded_versions import Key
from server.models.model_pool import ModelPool
from server.models.registry_view import RegistryView
from server.oip.decode_infer import read_version
from server.oip.inference_figures import InferenceFigures
from server.oip.model_card import write_config, write_index, write_metadata, write_statistics
from server.refusal import Reason, Refusal
from server.rpc.decode import Received, parse

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_NAME = "tickserve"
_RELEASE = importlib.metadata.version("tickserve-server")
# What of Triton's own extensions is there, by Triton's names.
_EXTENSIONS = ("model_configuration", "parameters", "schedule_policy", "statistics")


class InferenceService:
    """Serves the methods that predict nothing.

    Args:
        pool: Which versions are loaded.
        view: What the registry has.
        live: Limits, and the settings that are told.
        readiness: Tells whether the replica takes requests.
        figures: Each version's past.
    """

    def __init__(
        self,
        *,
        pool: ModelPool,
        view: RegistryView,
        live: LiveSettings,
        readiness: Callable[[], Readiness],
        figures: InferenceFigures,
    ) -> None:
        self._pool = pool
        self._view = view
        self._live = live
        self._readiness = readiness
        self._figures = figures

    async def server_live(self, data: Received, call: Call) -> service_pb2.ServerLiveResponse:
        """Says that the process answers."""
        self._parse(service_pb2.ServerLiveRequest, data, call)
        return service_pb2.ServerLiveResponse(live=True)

    async def server_ready(self, data: Received, call: Call) -> service_pb2.ServerReadyResponse:
        """Tells whether this replica takes requests."""
        self._parse(service_pb2.ServerReadyRequest, data, call)
        return service_pb2.ServerReadyResponse(ready=self._readiness().ready)

    async def server_metadata(self, data: Received, call: Call) -> service_pb2.ServerMetadataResponse:
        """Names the server, its release, and what of the protocol's extensions it has."""
        self._parse(service_pb2.ServerMetadataRequest, data, call)
        return service_pb2.ServerMetadataResponse(name=_NAME, version=_RELEASE, extensions=_EXTENSIONS)

    async def model_ready(self, data: Received, call: Call) -> service_pb2.ModelReadyResponse:
        """Tells whether a version is in memory; of one that does not exist, that it is not."""
        request = self._parse(service_pb2.ModelReadyRequest, data, call)
        version = read_version(request.version, field="version")
        try:
            key = await self._pool.find(request.name, version)
        except Refusal as refusal:
            if refusal.reason not in (Reason.MODEL_NOT_FOUND, Reason.MODEL_LOADING):
                raise
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=key in self._pool.loaded())

    async def model_metadata(self, data: Received, call: Call) -> service_pb2.ModelMetadataResponse:
        """Tells a model's tensors, and its versions."""
        request = self._parse(service_pb2.ModelMetadataRequest, data, call)
        key, config = await self._find(request.name, request.version)
        keys = await _beside(lambda: self._view.keys(key[0]))
        versions = sorted({version for _, version in keys} | {key[1]})
        return write_metadata(key[0], versions, config, self._pool.loaded().get(key))

    async def model_config(self, data: Received, call: Call) -> service_pb2.ModelConfigResponse:
        """Tells a version's configuration, and how its requests are scheduled."""
        request = self._parse(service_pb2.ModelConfigRequest, data, call)
        key, config = await self._find(request.name, request.version)
        card = write_config(key[0], config, self._pool.loaded().get(key), self._live.current)
        return service_pb2.ModelConfigResponse(config=card)

    async def model_statistics(self, data: Received, call: Call) -> service_pb2.ModelStatisticsResponse:
        """Tells the past of loaded versions on this replica: of one, of a model's, or of all."""
        request = self._parse(service_pb2.ModelStatisticsRequest, data, call)
        loaded = self._pool.loaded()
        keys = sorted(loaded)
        if request.name or request.version:
            wanted, _ = await self._find(request.name, request.version)
            # One that is named is told of though it has no past; of those that are not, the loaded ones.
            keys = [wanted] if request.version else [key for key in keys if key[0] == wanted[0]]
        memory = {key: served.memory_bytes for key, served in loaded.items()}
        return service_pb2.ModelStatisticsResponse(
            model_stats=[write_statistics(key, self._figures.of(key), memory.get(key, 0)) for key in keys]
        )

    async def repository_index(self, data: Received, call: Call) -> service_pb2.RepositoryIndexResponse:
        """Lists all versions of all models, or those that are ready."""
        request = self._parse(service_pb2.RepositoryIndexRequest, data, call)
        keys = await _beside(self._view.keys)
        listed = [(key, self._pool.state(key)) for key in keys]
        return service_pb2.RepositoryIndexResponse(
            models=[write_index(key, state) for key, state in listed if state == "serving" or not request.ready]
        )

    def _parse(self, kind: type[M], data: Received, call: Call) -> M:
        del call
        return parse(kind, data, max_bytes=self._live.current.max_request_bytes)

    async def _find(self, name: str, version: str) -> tuple[Key, ModelConfig]:
        """Returns what a reference names, loaded or not.

        Raises:
            Refusal: MODEL_NOT_FOUND, MODEL_LOADING or MALFORMED_MESSAGE.
        """
        key = await self._pool.find(name, read_version(version, field="version"))
        config = await _beside(lambda: self._view.config(key))
        if config is None:
            raise Refusal(
                Reason.MODEL_NOT_FOUND,
                "The version's configuration cannot be read; the server's log says why.",
                field="version",
                metadata={"name": key[0], "version": str(key[1])},
            )
        return key, config


async def _beside(read: Callable[[], T]) -> T:
    """Returns what a function returns that reads files."""
    return await asyncio.get_running_loop().run_in_executor(None, read)

"""The methods of the Open Inference Protocol that Ray Serve calls by their short names; a part of `deployment`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from google.protobuf.message import Message

from server.rpc.dispatch import Dispatcher, NoMessage


class OipMethods:
    """Hands each RPC of `inference.GRPCInferenceService` to the dispatcher of whoever inherits them.

    Ray Serve's types are not named here: `deployment` is among the few files that may import Ray.
    """

    @property
    def _dispatcher(self) -> Dispatcher:
        raise NotImplementedError

    async def ServerLive(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ServerLive`."""
        return await self._dispatcher.unary("ServerLive", request, grpc_context)

    async def ServerReady(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ServerReady`."""
        return await self._dispatcher.unary("ServerReady", request, grpc_context)

    async def ServerMetadata(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ServerMetadata`."""
        return await self._dispatcher.unary("ServerMetadata", request, grpc_context)

    async def ModelReady(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ModelReady`."""
        return await self._dispatcher.unary("ModelReady", request, grpc_context)

    async def ModelMetadata(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ModelMetadata`."""
        return await self._dispatcher.unary("ModelMetadata", request, grpc_context)

    async def ModelConfig(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ModelConfig`."""
        return await self._dispatcher.unary("ModelConfig", request, grpc_context)

    async def ModelStatistics(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ModelStatistics`."""
        return await self._dispatcher.unary("ModelStatistics", request, grpc_context)

    async def RepositoryIndex(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/RepositoryIndex`."""
        return await self._dispatcher.unary("RepositoryIndex", request, grpc_context)

    async def ModelInfer(self, request: bytes, grpc_context: Any) -> Message | NoMessage:
        """Serves `GRPCInferenceService/ModelInfer`."""
        return await self._dispatcher.unary("ModelInfer", request, grpc_context)

    async def ModelStreamInfer(self, requests: Any, grpc_context: Any) -> AsyncGenerator[Message, None]:
        """Serves `GRPCInferenceService/ModelStreamInfer`."""
        async for response in self._dispatcher.streamed("ModelStreamInfer", requests, grpc_context):
            yield response

"""The Open Inference Protocol of one replica: wires its methods to what answers ours. Decides nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model.registry import Registry
from server.config.live_settings import LiveSettings
from server.health.readiness import Readiness
from server.models.model_pool import ModelPool
from server.models.registry_view import RegistryView
from server.observation.request_watch import RequestWatcher
from server.oip.infer_service import InferService
from server.oip.inference_figures import InferenceFigures
from server.oip.inference_service import InferenceService
from server.replica_halts import ReplicaHalts
from server.routes.routed_predictor import RoutedPredictor
from server.rpc.dispatch import StreamedMethod, UnaryMethod
from server.security.caller_limits import CallerLimits


class ReplicaOip:
    """The protocol's methods, by short name.

    Args:
        pool: Which versions are loaded.
        registry: Where versions lie.
        live: Limits, and what deadlines follow from.
        readiness: Tells whether the replica takes requests.
        predictor: Finds models and answers tasks.
        watcher: Follows every window to its end.
        limits: How much each caller may ask for.
        halts: Obeyed.
        figures: Each version's past.

    Attributes:
        unary: Methods that take one message.
        streamed: Methods that take and give a stream.
    """

    def __init__(
        self,
        *,
        pool: ModelPool,
        registry: Registry,
        live: LiveSettings,
        readiness: Callable[[], Readiness],
        predictor: RoutedPredictor,
        watcher: RequestWatcher,
        limits: CallerLimits,
        halts: ReplicaHalts,
        figures: InferenceFigures,
    ) -> None:
        infer = InferService(
            predictor=predictor, live=live, watcher=watcher, limits=limits, streams=halts.streams, halts=halts.view
        )
        service = InferenceService(
            pool=pool, view=RegistryView(registry, pool), live=live, readiness=readiness, figures=figures
        )
        self.unary: Mapping[str, UnaryMethod] = {
            "ServerLive": service.server_live,
            "ServerReady": service.server_ready,
            "ServerMetadata": service.server_metadata,
            "ModelReady": service.model_ready,
            "ModelMetadata": service.model_metadata,
            "ModelConfig": service.model_config,
            "ModelStatistics": service.model_statistics,
            "RepositoryIndex": service.repository_index,
            "ModelInfer": infer.model_infer,
        }
        self.streamed: dict[str, StreamedMethod] = {"ModelStreamInfer": infer.model_stream_infer}

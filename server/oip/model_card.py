"""What the Open Inference Protocol tells of a version: metadata, configuration, past. Pure."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2, service_pb2

from batching import PriorityClass
from model.model_config import ModelConfig
from server.config.settings import Settings
from server.models.loaded_versions import Key
from server.models.served_model import ServedModel
from server.oip.inference_figures import Sum, VersionFigures
from server.oip.tensors import Tensor, input_of, outputs_of

_ASKED_FOR = (PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND)
_TYPES = {"FP32": model_config_pb2.TYPE_FP32, "BOOL": model_config_pb2.TYPE_BOOL}
# How the protocol names states, and why a version is not ready that is in no bad one.
_STATES = {
    "serving": ("READY", ""),
    "loading": ("LOADING", ""),
    "failed": ("UNAVAILABLE", "it could not be loaded; the server's log says why"),
    "available": ("UNAVAILABLE", "it is loaded when it is first asked for"),
}


def write_metadata(
    name: str, versions: list[int], config: ModelConfig, served: ServedModel | None
) -> service_pb2.ModelMetadataResponse:
    """Returns what a client needs to form a request.

    Args:
        name: Of the model.
        versions: That may be asked for, ascending.
        config: Of the version that is described.
        served: Itself; None unless it is loaded.
    """
    return service_pb2.ModelMetadataResponse(
        name=name,
        versions=[str(version) for version in versions],
        platform=_engine(served),
        inputs=[_metadata(input_of(config.network))],
        outputs=[_metadata(output) for output in outputs_of(config.network)],
    )


def write_config(
    name: str, config: ModelConfig, served: ServedModel | None, settings: Settings
) -> model_config_pb2.ModelConfig:
    """Returns a version's configuration, with the settings in force in Triton's terms.

    `max_batch_size` is the most windows of one request, as clients take it; the most of one engine call is the one
    `preferred_batch_size`.
    """
    network, scheduler = config.network, settings.scheduler
    timeouts = settings.default_timeouts.by_class()
    microseconds = {priority: round(seconds * 1e6) for priority, seconds in timeouts.items()}
    read = input_of(network)
    card = model_config_pb2.ModelConfig(
        name=name,
        platform=_engine(served),
        backend=_engine(served),
        version_policy=model_config_pb2.ModelVersionPolicy(all=model_config_pb2.ModelVersionPolicy.All()),
        max_batch_size=settings.max_windows_per_request,
        input=[model_config_pb2.ModelInput(name=read.name, data_type=_TYPES[read.datatype], dims=read.shape)],
        output=[
            model_config_pb2.ModelOutput(name=output.name, data_type=_TYPES[output.datatype], dims=output.shape)
            for output in outputs_of(network)
        ],
        dynamic_batching=model_config_pb2.ModelDynamicBatching(
            preferred_batch_size=[scheduler.max_batch_size],
            max_queue_delay_microseconds=round(scheduler.max_queue_delay * 1e6),
            priority_levels=len(_ASKED_FOR),
            default_priority_level=int(PriorityClass.STANDARD),
            default_queue_policy=_queue_policy(microseconds[PriorityClass.STANDARD], scheduler.max_queue_size),
            priority_queue_policy={
                int(priority): _queue_policy(microseconds[priority], scheduler.max_queue_size)
                for priority in _ASKED_FOR
            },
        ),
        response_cache=model_config_pb2.ModelResponseCache(enable=settings.cache.enabled),
        parameters={
            key: model_config_pb2.ModelParameter(string_value=value)
            for key, value in _parameters(config, served).items()
        },
    )
    if served is not None:
        group = model_config_pb2.ModelInstanceGroup
        kind = group.KIND_CPU if served.engine.info.device == "cpu" else group.KIND_GPU
        card.instance_group.add(kind=kind, count=1)
    return card


def write_index(key: Key, state: str) -> service_pb2.RepositoryIndexResponse.ModelIndex:
    """Returns a version's line in the list of all.

    Args:
        key: Its name and number.
        state: As `ModelPool.state` has it.
    """
    word, why = _STATES[state]
    return service_pb2.RepositoryIndexResponse.ModelIndex(name=key[0], version=str(key[1]), state=word, reason=why)


def write_statistics(key: Key, figures: VersionFigures, memory_bytes: int) -> service_pb2.ModelStatistics:
    """Returns a version's past; `inference_count` counts windows that an engine computed, whoever asked for them."""
    return service_pb2.ModelStatistics(
        name=key[0],
        version=str(key[1]),
        last_inference=round(figures.last_answer_at * 1000),
        inference_count=sum(size * sums.infer.count for size, sums in figures.batches.items()),
        execution_count=sum(sums.infer.count for sums in figures.batches.values()),
        inference_stats=service_pb2.InferStatistics(
            success=_duration(figures.success),
            fail=_duration(figures.fail),
            queue=_duration(figures.queue),
            compute_input=_duration(figures.input),
            compute_infer=_duration(figures.infer),
            compute_output=_duration(figures.output),
            cache_hit=_duration(figures.cached),
        ),
        batch_stats=[
            service_pb2.InferBatchStatistics(
                batch_size=size,
                compute_input=_duration(sums.input),
                compute_infer=_duration(sums.infer),
                compute_output=_duration(sums.output),
            )
            for size, sums in sorted(figures.batches.items())
        ],
        memory_usage=[service_pb2.MemoryUsage(type="CPU", byte_size=memory_bytes)] if memory_bytes else [],
    )


def _engine(served: ServedModel | None) -> str:
    return "" if served is None else served.engine.info.name


def _metadata(tensor: Tensor) -> service_pb2.ModelMetadataResponse.TensorMetadata:
    return service_pb2.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=(-1, *tensor.shape)
    )


def _queue_policy(timeout: int, size: int) -> model_config_pb2.ModelQueuePolicy:
    return model_config_pb2.ModelQueuePolicy(
        timeout_action=model_config_pb2.ModelQueuePolicy.REJECT,
        default_timeout_microseconds=timeout,
        allow_timeout_override=True,
        max_queue_size=size,
    )


def _parameters(config: ModelConfig, served: ServedModel | None) -> dict[str, str]:
    """Returns what the protocol has no field for."""
    network = config.network
    told = {
        "class_labels": ",".join(network.class_labels),
        "regression_names": ",".join(network.regression_names),
        "feature_schema": config.feature_schema,
        "prediction_horizon": str(config.prediction_horizon),
        "bar_interval_seconds": f"{config.bar_interval_seconds:g}",
        "sha256": config.sha256,
    }
    if served is not None:
        told["precision"] = served.engine.info.precision
    return told


def _duration(sums: Sum) -> service_pb2.StatisticDuration:
    return service_pb2.StatisticDuration(count=sums.count, ns=round(sums.seconds * 1e9))

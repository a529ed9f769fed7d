"""What Ray Serve is told of how many replicas there are, and of what each is given. Pure, and free of Ray."""

from __future__ import annotations

from typing import Any

from server.autoscaling.policy_arguments import policy_arguments
from server.config.resource_presets import RESOURCES, gpu_share
from server.config.settings import Settings

POLICY = "server.autoscaling.policy:ScalingPolicy"


def scale_options(settings: Settings) -> dict[str, Any]:
    """Returns the deployment's options for the number of its replicas: a number, or how it is found.

    Ray Serve would apply delays and factors of its own to what a policy says; ours knows which ones hold at which hour,
    so Ray Serve's do nothing. Nor is it told a number for the start: it would go back to it with every change of a
    setting. `replicas` is not used then.
    """
    scale = settings.autoscaling
    if not scale.enabled:
        return {"num_replicas": settings.replicas}
    targets = [profile.target_ongoing_requests for profile in scale.profiles().values()]
    return {
        "autoscaling_config": {
            "min_replicas": scale.fewest_replicas(settings.replicas),
            "max_replicas": scale.most_replicas(settings.replicas),
            # The policy takes all of these from here, but for the bounds and the target by the clock.
            "target_ongoing_requests": min(targets),
            "upscale_delay_s": 0.0,
            "downscale_delay_s": 0.0,
            "upscaling_factor": 1.0,
            "downscaling_factor": 1.0,
            "metrics_interval_s": scale.metrics_interval_s,
            "look_back_period_s": scale.look_back_period_s,
            "policy": {"policy_function": POLICY, "policy_kwargs": {"settings": policy_arguments(scale)}},
        }
    }


def actor_options(settings: Settings) -> dict[str, Any]:
    """Returns what Ray sets aside for each replica.

    A GPU is asked for only where the engine is cuda; by how many windows a batch may have, where no size is named.
    """
    size = settings.autoscaling.resources
    options: dict[str, Any] = {"num_cpus": settings.effective_replica_cpus()}
    if settings.engine == "cuda":
        options["num_gpus"] = RESOURCES[size].gpus if size else gpu_share(settings.scheduler.max_batch_size)
    if size:
        options["memory"] = RESOURCES[size].memory
    return options

"""About how much memory a loaded version holds. Owns the rule and the measurements behind it."""

from collections.abc import Mapping
from typing import Final

from model.engine import EngineInfo, Precision
from model.verified_version import VerifiedVersion

# Private memory gained per version, five of the default network (9.4 MB of weights) loaded one after the other and run
# in batches of 1 to 128; OpenVINO 2026.4, one thread:
#                     loaded   after batches of 1   64      128
#   openvino bf16     16-20        25                58-68   95-106   MB
#   openvino fp32     21-25        30                90-101  163-176  MB
#   torchscript       11           11                no more but what the allocator shares between versions
# An OpenVINO request keeps the buffers of its largest batch for good.
_COPIES_OF_WEIGHTS: Final[Mapping[Precision, float]] = {"fp32": 2.7, "bf16": 2.2}
_COPIES_IN_TORCH: Final = 1.25
_NUMBERS_PER_CHANNEL_AND_STEP: Final[Mapping[Precision, float]] = {"fp32": 19.0, "bf16": 11.5}


def estimate_memory(verified: VerifiedVersion, engine: EngineInfo, largest_batch: int) -> int:
    """Returns about how many bytes a version holds once it has run `largest_batch` windows at a time."""
    if engine.name != "openvino":
        return int(_COPIES_IN_TORCH * verified.weights_bytes)
    network = verified.config.network
    per_window = 4.0 * _NUMBERS_PER_CHANNEL_AND_STEP[engine.precision] * network.cnn_channels * network.time_steps
    return int(_COPIES_OF_WEIGHTS[engine.precision] * verified.weights_bytes + per_window * largest_batch)

"""One engine call as it happened. Knows neither queues nor whoever reads it."""

from __future__ import annotations

import dataclasses

from server.models.served_model import ServedModel
from server.trace_context import TraceContext


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """One engine call; times are monotonic seconds, in order.

    Attributes:
        batch_id: Tells it from every other call of this replica, from 1.
        model: Whose engine computed.
        size: Windows in it.
        started_at: When the engine's thread took the batch; its windows are gathered from here on.
        engine_started_at: When the engine was called.
        engine_ended_at: When it returned, or failed.
        ended_at: When its answer was parted into rows.
        device_duration: Seconds of the device: by CUDA events on a GPU, the engine call's own on a CPU.
        members: Trace contexts of the sampled requests in it.
        failed: Whether the engine failed.
        is_probe: Whether it was the deep health check's, which counts in no figure.
    """

    batch_id: int
    model: ServedModel
    size: int
    started_at: float
    engine_started_at: float
    engine_ended_at: float
    ended_at: float
    device_duration: float
    members: tuple[TraceContext, ...] = ()
    failed: bool = False
    is_probe: bool = False

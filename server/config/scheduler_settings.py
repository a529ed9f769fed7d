"""The settings of the scheduler, as an operator writes them.

Owns names, defaults and bounds; what they mean is `batching.SchedulerConfig`'s.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from batching import PriorityClass, SchedulerConfig

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_NO_TIMEOUT = "Seconds allowed for {} where the caller gives neither deadline nor timeout"
_WAIT = "Seconds in the queue after which a {} request is promoted"


class ClassTimeouts(BaseModel):
    """Seconds allowed per class where the caller gives neither deadline nor timeout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real_time: Seconds = Field(default=0.1, description=_NO_TIMEOUT.format("real_time"))
    standard: Seconds = Field(default=1.0, description=_NO_TIMEOUT.format("standard"))
    background: Seconds = Field(default=30.0, description=_NO_TIMEOUT.format("background"))

    def by_class(self) -> dict[PriorityClass, float]:
        """Returns the seconds by class."""
        return _by_class(self.real_time, self.standard, self.background)


class ClassWaits(BaseModel):
    """Seconds in the queue after which a request is promoted, per class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real_time: Seconds = Field(default=0.1, description=_WAIT.format("real_time"))
    standard: Seconds = Field(default=0.5, description=_WAIT.format("standard"))
    background: Seconds = Field(default=2.0, description=_WAIT.format("background"))

    def by_class(self) -> dict[PriorityClass, float]:
        """Returns the seconds by class."""
        return _by_class(self.real_time, self.standard, self.background)


class SchedulerSettings(BaseModel):
    """How batches are formed (see `batching.SchedulerConfig`); queue sizes count waiting requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch_size: int = Field(default=64, ge=1, le=1024, description="Most windows of one engine call")
    max_batch_duration: Seconds = Field(
        default=0.012,
        description="Seconds that a batch of more than one may be predicted to take: how long an urgent call may wait",
    )
    max_queue_delay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Seconds that a batch which is not full may be held back for company; 0: never",
    )
    max_queue_size: int = Field(
        default=4096, ge=1, description="Most waiting requests of one class; above it QUEUE_FULL or DISPLACED"
    )
    max_total_queue_size: int = Field(default=8192, ge=1, description="Most waiting requests of all classes")
    max_shadow_queue_size: int = Field(
        default=256,
        ge=1,
        description="Most waiting shadows: copies of requests that try out a version; above it they are left out",
    )
    fairness_quantum: int = Field(
        default=64, ge=1, description="Requests that one caller may place in a round of its class"
    )
    max_wait: ClassWaits = ClassWaits()
    promotion_share: float = Field(
        default=0.1, gt=0, lt=1, description="Part of all places in batches that promoted requests are entitled to"
    )
    max_promoted: int = Field(default=64, ge=1, description="Most requests that are promoted at once")
    adaptive: bool = Field(
        default=True, description="Whether predicted durations and deadlines bound a batch, or max_batch_size alone"
    )
    admission: bool = Field(
        default=True, description="Whether requests are refused at arrival on a prediction (PREDICTED_DEADLINE_MISS)"
    )
    engine_hang_timeout: Seconds = Field(
        default=30.0, description="Seconds after which an engine call counts as hung and the replica is replaced"
    )

    @model_validator(mode="after")
    def _limits_agree(self) -> SchedulerSettings:
        if self.max_queue_size > self.max_total_queue_size:
            raise ValueError("max_queue_size must not exceed max_total_queue_size; raise the latter")
        if self.adaptive and self.max_batch_duration >= self.engine_hang_timeout:
            raise ValueError("max_batch_duration must be below engine_hang_timeout; raise the latter")
        return self

    def to_config(self) -> SchedulerConfig:
        """Returns the scheduler's own configuration; `max_queue_size` holds for each class but shadows."""
        return SchedulerConfig(
            max_batch_size=self.max_batch_size,
            max_batch_duration=self.max_batch_duration,
            max_queue_delay=self.max_queue_delay,
            max_queue_size=dict.fromkeys(PriorityClass, self.max_queue_size)
            | {PriorityClass.SHADOW: self.max_shadow_queue_size},
            max_total_queue_size=self.max_total_queue_size,
            fairness_quantum=self.fairness_quantum,
            max_wait=self.max_wait.by_class(),
            promotion_share=self.promotion_share,
            max_promoted=self.max_promoted,
            adaptive=self.adaptive,
            admission=self.admission,
            engine_hang_timeout=self.engine_hang_timeout,
        )


def _by_class(real_time: float, standard: float, background: float) -> dict[PriorityClass, float]:
    return {
        PriorityClass.REAL_TIME: real_time,
        PriorityClass.STANDARD: standard,
        PriorityClass.BACKGROUND: background,
    }

"""The settings of one model's route, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config.scheduler_settings import Seconds

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A model's name, as the registry takes it."""

Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Version = Annotated[int, Field(ge=1, lt=10**18)]


class RouteSettings(BaseModel):
    """Which versions answer requests that name the model without a version, and when a candidate is taken back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stable: int = Field(
        default=0,
        ge=0,
        lt=10**18,
        description="Version that answers; 0: the latest, which a newly published one becomes",
    )
    candidate: Version | None = Field(default=None, description="Version that answers `percent` of the routing keys")
    percent: Percent = Field(default=0.0, description="Part of the routing keys that the candidate answers, 0 to 100")
    shadow: Version | None = Field(
        default=None, description="Version that computes the same windows to be compared; its answers go nowhere"
    )
    window: Seconds = Field(
        default=300.0, le=86_400, description="Seconds over which rates, latencies and disagreement are taken"
    )
    min_requests: int = Field(
        default=100, ge=1, description="Fewest requests, or comparisons, within `window` that a rollback may rest on"
    )
    max_error_rate: Rate = Field(
        default=0.02,
        description="Rate of failed requests, beyond stable's, above which the candidate is rolled back; 1: never",
    )
    max_late_rate: Rate = Field(
        default=0.1,
        description="Rate of requests not answered in time, beyond stable's, above which it is; 1: never",
    )
    max_disagreement: Rate = Field(
        default=0.5,
        description="Rate of compared answers with another likeliest class than stable's above which it is; 1: never",
    )
    compared_percent: Percent = Field(
        default=10.0, description="Part of the candidate's answers that stable computes, too, to be compared, 0 to 100"
    )

    @model_validator(mode="after")
    def _arms_agree(self) -> RouteSettings:
        if self.candidate is not None and self.candidate == self.stable:
            raise ValueError("candidate must be another version than stable; remove candidate, or name another one")
        if self.percent > 0 and self.candidate is None:
            raise ValueError("percent is above 0 and there is no candidate; name a candidate, or set percent to 0")
        if self.shadow is not None and self.shadow == self.stable:
            raise ValueError("shadow must be another version than stable; remove shadow, or name another one")
        return self

    def versions(self) -> tuple[int, ...]:
        """Returns the versions that it names; the latest has no number here."""
        named = (self.stable or None, self.candidate, self.shadow)
        return tuple(version for version in named if version is not None)

"""The settings of the log, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
Interval = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class LogSettings(BaseModel):
    """What is logged, and in which form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: LogFormat = Field(
        default="auto", description="Form of a line; auto is console on a terminal and json everywhere else"
    )
    level: LogLevel = Field(default="info", description="Least level that is logged; debug has a line for every answer")
    refusal_interval: Interval = Field(
        default=10.0,
        description="Seconds between two lines on refusals of one reason, class and method; the second has their count",
    )
    queue_size: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Most lines that wait to be written; more are dropped and counted, never waited for",
    )

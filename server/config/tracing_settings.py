"""The settings of distributed traces, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# gRPC refuses a message with any other name or value, and would do so at every export.
HeaderName = Annotated[str, Field(pattern=r"^[0-9a-z_.-]{1,128}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,4096}$")]


class TracingSettings(BaseModel):
    """Which requests are traced, and where their spans go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False, description="Whether spans are made of sampled requests and sent (docs/tracing.md)"
    )
    endpoint: str = Field(
        default="",
        pattern=r"^\S*$",
        description="Where spans are sent by OTLP/gRPC, as in http://collector:4317, or https:// for TLS; empty: "
        "OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4317",
    )
    insecure: bool = Field(
        default=False, description="Whether TLS is left out though the endpoint does not say http://"
    )
    # Not a secret type: settings travel to the replicas as JSON, which would carry its asterisks. `repr` hides them.
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        repr=False,
        description="Metadata of each export, as in authorization; empty: OTEL_EXPORTER_OTLP_HEADERS",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the requests without a caller's trace that are traced; with one, the caller decides",
    )
    symbols: bool = Field(default=False, description="Whether spans name the symbol that was asked for")
    queue_size: int = Field(
        default=8192,
        ge=512,
        le=1_000_000,
        description="Most spans that wait to be sent, about 0.5 KB each; further ones are dropped and counted",
    )
    export_timeout: float = Field(
        default=5.0,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Seconds after which spans that the collector has not taken, retries included, are dropped",
    )

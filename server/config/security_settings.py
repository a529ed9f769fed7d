"""The settings of who may call, as an operator writes them, and which binds are refused. Owns names and defaults."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config.fields import OptionalPath


class SecuritySettings(BaseModel):
    """Whether callers need an API key, and where the keys are."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    mode: Literal["auto", "keys", "open"] = Field(
        default="auto",
        description="Who may call: keys: holders of an API key; open: everybody who can connect; auto: keys where "
        "keys_file is set, else open (docs/api-keys.md)",
    )
    keys_file: OptionalPath = Field(
        default=None,
        description="File of API keys, made by `tickserve keys add`, the same path on every node; changes are seen "
        "within two seconds",
    )
    open_reflection: bool | None = Field(
        default=None,
        description="Whether gRPC reflection is served to callers without a key; unset: while `host` is loopback",
    )
    allow_insecure_public_bind: bool = Field(
        default=False,
        description="Whether addresses other than loopback may be listened on without TLS, or without asking callers "
        "who they are: where something else in front does both",
    )

    @property
    def keys_required(self) -> bool:
        """Whether callers need a key."""
        return self.mode == "keys" or (self.mode == "auto" and self.keys_file is not None)

    @model_validator(mode="after")
    def _has_keys(self) -> SecuritySettings:
        if self.mode == "keys" and self.keys_file is None:
            raise ValueError("mode keys needs keys_file; make one with `tickserve keys add`")
        return self


def is_loopback(host: str) -> bool:
    """Tells whether an address to listen on is reached from this machine alone; of a name only `localhost` is known."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def public_bind_fault(
    security: SecuritySettings, *, host: str, metrics_host: str, has_tls: bool, has_client_certificates: bool
) -> str:
    """Returns what is wrong with the addresses that are listened on, and the remedy; empty where nothing is.

    What decides is the configured address, never that of a caller: behind a proxy every caller is 127.0.0.1.

    Args:
        security: Whether callers need a key.
        host: Of the gRPC and HTTP side.
        metrics_host: Of the port where metrics are scraped; empty where there is none.
        has_tls: Whether the TLS edge stands in front.
        has_client_certificates: Whether it turns away who shows no certificate.
    """
    if security.allow_insecure_public_bind:
        return ""
    missing = []
    if not security.keys_required and not has_client_certificates:
        missing.append("API keys (security.keys_file) or required client certificates (tls.client_ca)")
    if not has_tls:
        missing.append("TLS (tls.cert and tls.key)")
    remedy = (
        "Where something else in front asks callers who they are and encrypts, set "
        "security.allow_insecure_public_bind to true"
    )
    if missing and not is_loopback(host):
        return f"host {host} is not loopback, and there is no protection by {', nor by '.join(missing)}. {remedy}"
    if metrics_host and not is_loopback(metrics_host) and not security.keys_required:
        return f"metrics.host {metrics_host} is not loopback, and needs API keys (security.keys_file). {remedy}"
    return ""

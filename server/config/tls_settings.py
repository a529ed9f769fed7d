"""The settings of the TLS edge in front of the service, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config.fields import OptionalPath, Port
from server.config.scheduler_settings import Seconds

# What may stand in a header and names one thing in a log; `server.security.edge_identity` takes nothing else.
IdentityName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class TlsSettings(BaseModel):
    """Certificates, public ports and bounds of the edge; without `cert` there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    cert: OptionalPath = Field(
        default=None,
        description="PEM file: the server's certificate, then its chain. With it `tickserve serve` runs a TLS edge on "
        "`host`, and everything behind it listens on loopback (docs/security.md)",
    )
    key: OptionalPath = Field(default=None, description="PEM file: the certificate's key, without a passphrase")
    client_ca: OptionalPath = Field(
        default=None, description="PEM file: authorities whose client certificates are taken; none: nobody is asked"
    )
    client_certificates: Literal["required", "optional"] = Field(
        default="required",
        description="Whether a client without a certificate may connect, where client_ca is set; it needs an API key",
    )
    client_identities: dict[IdentityName, IdentityName] = Field(
        default={},
        description="By common name of a client certificate: the id of the API key whose rights it has; empty: the "
        "common name is the id",
    )
    grpc_port: Port = Field(default=9443, description="Public port of the gRPC services over TLS")
    http_port: Port = Field(default=8443, description="Public port of the HTTP side over TLS")
    max_connections: int = Field(default=10_000, ge=1, description="Most connections of all clients to the edge")
    max_connections_per_address: int = Field(
        default=0, ge=0, description="Most connections of one client address to the edge; 0: no limit of its own"
    )
    idle_timeout: Seconds = Field(
        default=300.0,
        description="Seconds without a byte either way after which a connection, or a stream, is ended; what is "
        "answered later than that is not cut: at least max_timeout and 10 s",
    )
    request_timeout: Seconds = Field(default=10.0, description="Seconds in which a request's headers must be complete")
    threads: int = Field(default=2, ge=1, le=64, description="Threads of the edge")
    reload_interval: Seconds = Field(
        default=1.0, description="Seconds between two looks at the certificates' files; changed ones are put in force"
    )

    @property
    def enabled(self) -> bool:
        """Whether there is an edge."""
        return self.cert is not None

    @model_validator(mode="after")
    def _belongs_together(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together; set both, or neither")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("client_ca needs cert and key: client certificates are asked for by the TLS edge")
        if self.client_identities and self.client_ca is None:
            raise ValueError("client_identities needs client_ca: without it no client shows a certificate")
        if self.grpc_port == self.http_port:
            raise ValueError("grpc_port and http_port must differ")
        return self

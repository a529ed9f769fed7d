"""All settings of the server: one file, overridden by `TICKSERVE_*` environment variables.

Owns names, defaults and bounds. Unknown keys are refused in both places, because a misspelt limit that is silently
ignored is found at the worst moment. Knows nothing of Ray.
"""

from __future__ import annotations

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError as UnreadableSettingError

from server.config.autoscaling_settings import AutoscalingSettings, scale_fault
from server.config.cache_settings import CacheSettings
from server.config.console_settings import ConsoleSettings
from server.config.decision_settings import DecisionSettings
from server.config.fields import OptionalPath, Port
from server.config.halt_settings import HaltSettings
from server.config.health_settings import HealthSettings
from server.config.limit_settings import LimitSettings
from server.config.log_settings import LogSettings
from server.config.metrics_settings import MetricsSettings
from server.config.model_settings import ModelSettings
from server.config.original_variables import OriginalSource
from server.config.profile_source import ProfileSource
from server.config.profiles import PROFILE_VARIABLE, ProfileName
from server.config.redis_fields import RedisPasswordFile
from server.config.route_settings import ModelName, RouteSettings
from server.config.scheduler_settings import ClassTimeouts, SchedulerSettings, Seconds
from server.config.security_settings import SecuritySettings, is_loopback, public_bind_fault
from server.config.tls_settings import TlsSettings
from server.config.tracing_settings import TracingSettings
from server.config.window_settings import WindowSettings

CONFIG_VARIABLE = "TICKSERVE_CONFIG"
DEFAULT_FILE = "tickserve.toml"
_PREFIX = "TICKSERVE_"
# Variables of the client, of the edge's secret and of this module that share the prefix.
_OTHER_VARIABLES = {CONFIG_VARIABLE, "TICKSERVE_EDGE_SECRET"} | {
    f"TICKSERVE_{name}" for name in ("TARGET", "API_KEY", "CA", "CERT", "KEY")
}


class SettingsError(Exception):
    """The settings contradict themselves or name something unknown. The message names the key and the remedy."""


class Settings(BaseSettings):
    """The server's settings.

    Read from the TOML file that `TICKSERVE_CONFIG` names (default: `tickserve.toml` in the working directory, if it is
    there), then from the environment: `TICKSERVE_GRPC_PORT=9100`, `TICKSERVE_SCHEDULER__MAX_BATCH_SIZE=32`.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    host: str = Field(default="127.0.0.1", description="Address that HAProxy listens on, gRPC and HTTP")
    grpc_port: Port = Field(default=9000, description="Port of the gRPC services")
    http_port: Port = Field(default=8000, description="Port of the HTTP side")
    tls: TlsSettings = TlsSettings()
    security: SecuritySettings = SecuritySettings()
    reflection: bool = Field(default=True, description="Whether gRPC reflection is served")
    access_log: bool = Field(
        default=False,
        description="Whether Ray Serve logs every call; a line costs about as much as reading the request. While it "
        "does not, its own lines of a replica are left out below warnings, unless log.level is debug",
    )

    registry: Path = Field(
        default=Path("registry"),
        description="Folder of the model registry, the same path on every node; MODEL_REGISTRY_PATH sets it too",
    )
    model_path: OptionalPath = Field(
        default=None,
        description="Weights that are imported at the start as default_model's next version; MODEL_PATH sets it too",
    )
    default_model: str = Field(default="cnn_lstm", description="Model that answers requests which name none")
    models: ModelSettings = ModelSettings()
    engine: Literal["auto", "torchscript", "openvino", "cuda"] = Field(
        default="auto", description="Inference engine; auto takes the fastest one for the hardware"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="Number format; auto takes bf16 where the CPU has it"
    )
    compile: bool = Field(
        default=True, description="Whether the network is compiled; false computes eagerly, to compare and to debug"
    )
    engine_threads: int = Field(
        default=0,
        ge=0,
        description="Threads of one engine call; 0: the replica's CPUs less one for the event loop and the proxy",
    )

    replicas: int = Field(default=1, ge=1, description="Number of replicas; not used with autoscaling")
    autoscaling: AutoscalingSettings = AutoscalingSettings()
    replica_cpus: float = Field(
        default=0.0, ge=0, description="CPUs of one replica; 0: the machine's, shared evenly by the replicas"
    )

    max_surge_percent: int = Field(
        default=25,
        ge=0,
        le=100,
        description="Replicas in percent, rounded up, that an update may start before it stops old ones; 0: stop "
        "first, where CPUs or GPUs have no room for more",
    )

    profile: ProfileName = Field(
        default="", description="Named set of scheduling values (docs/scheduling.md); single settings win over it"
    )
    default_timeouts: ClassTimeouts = ClassTimeouts()
    max_timeout: Seconds = Field(
        default=300.0, description="Longest time that any request may take, seconds; longer timeouts are cut to it"
    )
    reply_margin: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="Seconds before the RPC's deadline at which an answer must be ready to travel back",
    )

    max_windows_per_request: int = Field(default=64, ge=1, description="Most items of one PredictBatch")
    max_request_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=64 * 1024,
        description="Largest message that is read; above it LIMIT_EXCEEDED, and a stream lives on",
    )
    transport_max_message_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        description="Largest message that the transport takes; above it the RPC ends",
    )
    max_in_flight_per_stream: int = Field(
        default=256, ge=1, description="Most messages of one stream that are read and not yet answered"
    )
    max_in_flight_bytes_per_stream: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        description="Most bytes that the messages of one stream have together which are read and not yet answered; "
        "one message is always taken",
    )
    max_symbols_per_stream: int = Field(default=10_000, ge=1, description="Most symbols of one tick stream")
    max_symbols: int = Field(default=100_000, ge=1, description="Most symbols whose windows a replica keeps")
    max_streams_per_connection: int = Field(
        default=4096, ge=100, description="Most concurrent streams of one client connection"
    )
    heartbeat_interval: Seconds = Field(
        default=30.0, description="Seconds of silence after which a tick stream sends a heartbeat"
    )

    stream_max_age: Seconds = Field(
        default=3000.0,
        description="Seconds after which a tick stream is asked to open anew: old proxies live as long as streams",
    )
    stream_drain_grace: Annotated[Seconds, Field(le=50)] = Field(
        default=6.0, description="Seconds for which a tick stream is still served after it was asked to go elsewhere"
    )
    windows: WindowSettings = WindowSettings()
    redis_password_file: RedisPasswordFile = None

    limits: LimitSettings = LimitSettings()
    halts: HaltSettings = HaltSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    cache: CacheSettings = CacheSettings()
    console: ConsoleSettings = ConsoleSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    decisions: DecisionSettings = DecisionSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    routes: dict[ModelName, RouteSettings] = Field(
        default={}, description="By model: stable, candidate, percent, shadow, limits of a rollback (docs/rollout.md)"
    )

    @model_validator(mode="after")
    def _limits_agree(self) -> Settings:
        if self.max_request_bytes >= self.transport_max_message_bytes:
            raise ValueError(
                "max_request_bytes must be below transport_max_message_bytes, else the typed refusal is never sent"
            )
        for name, timeout in self.default_timeouts:
            if timeout > self.max_timeout:
                raise ValueError(f"default_timeouts.{name} must not exceed max_timeout; raise max_timeout")
        for name, timeout in self.default_timeouts:
            if self.scheduler.max_queue_delay >= timeout:
                raise ValueError(f"scheduler.max_queue_delay must be below default_timeouts.{name}; lower the delay")
        if not self.compile and self.engine in ("openvino", "cuda"):
            raise ValueError(f"compile: false computes eagerly, which {self.engine} cannot; set engine to auto")
        shared, cpus = self.windows.store != "memory" or self.windows.allow_split, self.replica_cpus
        if fault := scale_fault(self.autoscaling, replicas=self.replicas, replica_cpus=cpus, shares_windows=shared):
            raise ValueError(fault)
        if self.grpc_port == self.http_port:
            raise ValueError("grpc_port and http_port must differ")
        if self.tls.enabled and {self.tls.grpc_port, self.tls.http_port} & {self.grpc_port, self.http_port}:
            raise ValueError("tls.grpc_port and tls.http_port must differ from grpc_port and http_port, on loopback")
        if fault := public_bind_fault(
            self.security,
            host=self.host,
            metrics_host=self.metrics.host if self.metrics.enabled and self.metrics.port else "",
            has_tls=self.tls.enabled,
            has_client_certificates=self.tls.client_ca is not None and self.tls.client_certificates == "required",
        ):
            raise ValueError(fault)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources, strongest first: arguments, environment, file, profile and original variables."""
        del dotenv_settings, file_secret_settings
        file = Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)
        toml = TomlConfigSettingsSource(settings_cls, toml_file=file)
        return init_settings, env_settings, toml, ProfileSource(settings_cls), OriginalSource(settings_cls)

    def inner_host(self) -> str:
        """Returns the address that Ray Serve listens on: loopback where the TLS edge listens on `host`."""
        return "127.0.0.1" if self.tls.enabled else self.host

    def reflection_is_open(self) -> bool:
        """Returns whether reflection, where it is served, is served to callers who show no key."""
        chosen = self.security.open_reflection
        return is_loopback(self.host) if chosen is None else chosen

    def effective_engine_threads(self) -> int:
        """Returns the threads of one engine call: the setting, or the replica's CPUs less one, at least one.

        The event loop and the proxy need the one: where they share a core with an engine thread, the other engine
        threads wait for it at every barrier (docs/adr/0008).
        """
        return self.engine_threads or max(1, int(self.effective_replica_cpus()) - 1)

    def effective_replica_cpus(self) -> float:
        """Returns the CPUs of one replica: as set, or of its size, or an even share of this machine's, at least one."""
        return self.replica_cpus or self.autoscaling.cpus() or float(max(1, (os.cpu_count() or 1) // self.replicas))

    def engine_kind(self) -> Literal["auto", "eager", "torchscript", "openvino", "cuda"]:
        """Returns the kind of engine to create."""
        return self.engine if self.compile else "eager"


def load_settings(**overrides: Any) -> Settings:
    """Reads and validates the settings.

    Args:
        **overrides: Settings that win over the environment and the file; None means "not given".

    Raises:
        SettingsError: A key is unknown, a value is out of bounds, or the named file does not exist.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE} names {named}, which is not a file; correct the path or unset it.")
    _refuse_unknown_variables()
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()]
        name = os.environ.get(PROFILE_VARIABLE, "")
        if any(item["loc"] == ("profile",) and item["input"] == name for item in error.errors()):
            lines.append(f"{PROFILE_VARIABLE} is {name[:64]!r}")
        raise SettingsError("Invalid settings: " + "; ".join(lines)) from None
    except UnreadableSettingError as error:
        raise SettingsError(f"Invalid settings: {error}; set single keys, as in {_PREFIX}SCHEDULER__...=1.") from None
    except (TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{named or DEFAULT_FILE} is not a readable TOML file: {error}.") from None


def _refuse_unknown_variables() -> None:
    """Refuses variables that would be ignored; names count in any case, as they do for what reads them."""
    groups = {f"{_PREFIX}{name}".upper() for name, field in Settings.model_fields.items() if _is_group(field)}
    known = {f"{_PREFIX}{name}".upper() for name in Settings.model_fields}
    for variable in os.environ:
        name = variable.upper()
        if name.startswith(_PREFIX) and name not in _OTHER_VARIABLES:
            # Keys inside a group are checked by the group itself.
            root, inside, _ = name.partition("__")
            if root not in (groups if inside else known):
                raise SettingsError(
                    f"{variable} is not a setting; `tickserve serve --help` and docs/settings.md list them all."
                )


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)

"""The Ray Serve application: what `serve run server.app:build`, `serve deploy` and the launcher deploy.

Imports Ray, so the runtime environment must be in force before this module is imported.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application

from model.registry import Registry
from model.weights_import import import_original
from server import runtime_env
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings, load_settings
from server.deployment import PredictorDeployment

APPLICATION = "tickserve"
DEPLOYMENT = "predictor"
# Said in the deployment's own section: another number of replicas needs no new ones.
_SCALE_FIELDS = {"replicas", "max_surge_percent"}


def build(arguments: dict[str, Any] | None = None) -> Application:
    """Returns the application for the settings in force.

    Args:
        arguments: Settings that win over the file and the environment, by name.

    Raises:
        server.config.settings.SettingsError: A setting is unknown or out of bounds.
        model.errors.ModelError: `model_path` names weights that cannot be imported.
        server.runtime_env.RuntimeEnvironmentError: Direct ingress is off in this process.
    """
    settings = load_settings(**(arguments or {}))
    runtime_env.check()
    # Here too and not in the launcher alone: on a cluster `serve deploy` starts the service.
    import_original(Registry(settings.registry), model_path=settings.model_path, default_model=settings.default_model)
    start_ingress(settings)
    return application(settings)


def application(settings: Settings) -> Application:
    """Returns the application for given settings."""
    settings = _settled(settings)
    deployment = serve.deployment(
        # Undecorated at its definition: so Ray pickles the class by name, and the replica shares its modules' state.
        serve.ingress()(PredictorDeployment),
        name=DEPLOYMENT,
        num_replicas=settings.replicas,
        max_surge_percent=settings.max_surge_percent,
        user_config=settings.model_dump(mode="json", include=set(LIVE_FIELDS)),
        # Far above any load: the scheduler's queue must see every request, for it alone knows which one matters.
        max_ongoing_requests=100_000,
        max_queued_requests=-1,
        ray_actor_options={"num_cpus": settings.replica_cpus},
        graceful_shutdown_timeout_s=60,
        health_check_period_s=2,
        health_check_timeout_s=10,
        logging_config=_logging_config(settings),
    )
    app: Application = deployment.bind(settings.model_dump(mode="json", exclude=set(LIVE_FIELDS)))
    return app


def start_ingress(settings: Settings) -> None:
    """Starts Ray Serve with its gRPC ingress, unless it runs already: then its own options stand."""
    config = serve_config(settings)
    serve.start(
        proxy_location=config["proxy_location"],
        http_options=config["http_options"],
        grpc_options=config["grpc_options"],
    )


def serve_config(settings: Settings) -> dict[str, Any]:
    """Returns the configuration of the whole service, as `serve deploy` takes it.

    Deployed again, it changes live settings in running replicas; other changes replace them, one after the other.
    """
    settings = _settled(settings)
    # Reflection is ours, because Ray Serve's own would not list health.
    servicer = "add_services_with_reflection" if settings.reflection else "add_services"
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": settings.inner_host(), "port": settings.http_port},
        "grpc_options": {
            "port": settings.grpc_port,
            "grpc_servicer_functions": [f"server.rpc.ingress.{servicer}"],
            "enable_reflection": False,
        },
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": "server.app:build",
                "args": settings.model_dump(mode="json", exclude=set(LIVE_FIELDS) | _SCALE_FIELDS),
                "deployments": [
                    {
                        "name": DEPLOYMENT,
                        "num_replicas": settings.replicas,
                        "max_surge_percent": settings.max_surge_percent,
                        "user_config": settings.model_dump(mode="json", include=set(LIVE_FIELDS)),
                        "ray_actor_options": {"num_cpus": settings.replica_cpus},
                        "logging_config": _logging_config(settings),
                    }
                ],
            }
        ],
    }


def _logging_config(settings: Settings) -> dict[str, Any]:
    """Returns how Ray Serve itself logs in a replica, until `telemetry.logging_setup` takes its file over."""
    return {
        "enable_access_log": settings.access_log,
        "encoding": "TEXT" if settings.log.format == "console" else "JSON",
        "log_level": settings.log.level.upper(),
    }


def _settled(settings: Settings) -> Settings:
    """Returns the settings with all that depends on this machine or directory decided: replicas run elsewhere."""
    folder = settings.models.compiled_cache
    models = settings.models.model_copy(
        update={"compiled_cache": folder.expanduser().absolute() if folder is not None else None}
    )
    log = settings.decisions.path
    decisions = settings.decisions.model_copy(update={"path": log.expanduser().absolute() if log is not None else None})
    keys = settings.security.keys_file
    security = settings.security.model_copy(
        update={"keys_file": keys.expanduser().absolute() if keys is not None else None}
    )
    return settings.model_copy(
        update={
            "decisions": decisions,
            "security": security,
            "registry": settings.registry.absolute(),
            "model_path": settings.model_path.absolute() if settings.model_path is not None else None,
            "models": models,
            "replica_cpus": settings.effective_replica_cpus(),
            "engine_threads": settings.effective_engine_threads(),
        }
    )

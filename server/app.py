"""The Ray Serve application: what `serve run server.app:build`, `serve deploy` and the launcher deploy.

Imports Ray, so the runtime environment must be in force before this module is imported.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import gRPCOptions

from server import runtime_env
from server.deployment import PredictorDeployment
from server.settings import Settings, load_settings

APPLICATION = "tickserve"


def build(arguments: dict[str, Any] | None = None) -> Application:
    """Returns the application for the settings in force.

    Args:
        arguments: Settings that win over the file and the environment, by name.

    Raises:
        server.settings.SettingsError: A setting is unknown or out of bounds.
        server.runtime_env.RuntimeEnvironmentError: Direct ingress is off in this process.
    """
    settings = load_settings(**(arguments or {}))
    runtime_env.check()
    start_ingress(settings)
    return application(settings)


def application(settings: Settings) -> Application:
    """Returns the application for given settings."""
    deployment = serve.deployment(
        # Undecorated at its definition: so Ray pickles the class by name, and the replica shares its modules' state.
        serve.ingress()(PredictorDeployment),
        name="predictor",
        num_replicas=settings.replicas,
        # Far above any load: the scheduler's queue must see every request, for it alone knows which one matters.
        max_ongoing_requests=100_000,
        max_queued_requests=-1,
        ray_actor_options={"num_cpus": settings.effective_replica_cpus()},
        graceful_shutdown_timeout_s=60,
        health_check_period_s=2,
        health_check_timeout_s=10,
    )
    # The replica's working directory need not be this one's.
    settings = settings.model_copy(update={"registry": settings.registry.absolute()})
    app: Application = deployment.bind(settings.model_dump(mode="json"))
    return app


def start_ingress(settings: Settings) -> None:
    """Starts Ray Serve with its gRPC ingress, unless it runs already: then its own options stand."""
    serve.start(
        proxy_location="EveryNode",
        http_options={"host": settings.host, "port": settings.http_port},
        grpc_options=grpc_options(settings),
    )


def grpc_options(settings: Settings) -> gRPCOptions:
    """Returns Ray Serve's gRPC options; reflection is ours, because Ray Serve's own would not list health."""
    function = "add_services_with_reflection" if settings.reflection else "add_services"
    return gRPCOptions(
        port=settings.grpc_port,
        grpc_servicer_functions=[f"server.ingress.{function}"],
        enable_reflection=False,
    )

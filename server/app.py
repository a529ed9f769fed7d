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
from server.config.given_settings import GivenSettings
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings, load_settings
from server.deployment import PredictorDeployment
from server.serve_config import APPLICATION as APPLICATION
from server.serve_config import deployment_options, settled
from server.serve_config import serve_config as serve_config


def build(arguments: dict[str, Any] | None = None) -> Application:
    """Returns the application for the settings in force.

    Args:
        arguments: Settings that win over the file and the environment, by name.

    Raises:
        server.config.settings.SettingsError: A setting is unknown or out of bounds.
        model.errors.ModelError: `model_path` names weights that cannot be imported.
        server.runtime_env.RuntimeEnvironmentError: Direct ingress is off in this process.
    """
    return _built(load_settings(**(arguments or {})))


def build_given(arguments: dict[str, Any] | None = None) -> Application:
    """Returns the application for a configuration that says all settings by itself (`serve_config.cluster_config`).

    No file and no variable of the node that happens to build it has a say, or can fail it.

    Args:
        arguments: What building needs, by name: where the registry is, and which weights to import.

    Raises:
        model.errors.ModelError: As `build`.
        server.runtime_env.RuntimeEnvironmentError: As `build`.
    """
    return _built(GivenSettings(**(arguments or {})))


def _built(settings: Settings) -> Application:
    runtime_env.check()
    # Here too and not in the launcher alone: on a cluster `serve deploy` starts the service.
    import_original(Registry(settings.registry), model_path=settings.model_path, default_model=settings.default_model)
    start_ingress(settings)
    return application(settings)


def application(settings: Settings) -> Application:
    """Returns the application for given settings."""
    settings = settled(settings)
    # Undecorated at its definition: so Ray pickles the class by name, and the replica shares its modules' state.
    deployment = serve.deployment(serve.ingress()(PredictorDeployment), **deployment_options(settings))
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

"""`tickserve serve`: runs the service on this machine until it is told to stop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from model.errors import ModelError
from server.announcement import Announcer
from server.commands.console import fail
from server.config.profiles import ProfileName
from server.config.settings import Settings, SettingsError, load_settings
from server.launcher import LaunchError, serve_until_signalled
from server.replica_door import require_keys
from server.security.key_file import KeyFileError
from server.telemetry.logging_setup import log_to_stream


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port of the gRPC service.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of the HTTP side.")] = None,
    registry: Annotated[Path | None, typer.Option(help="Folder of the model registry.")] = None,
    default_model: Annotated[str | None, typer.Option(help="Model that answers requests which name none.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Number of replicas.")] = None,
    engine: Annotated[
        Literal["auto", "torchscript", "openvino", "cuda"] | None, typer.Option(help="Inference engine.")
    ] = None,
    precision: Annotated[Literal["auto", "fp32", "bf16"] | None, typer.Option(help="Number format.")] = None,
    profile: Annotated[ProfileName | None, typer.Option(help="Named set of scheduling values.")] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate and chain, PEM: serve over TLS on 9443 and 8443.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, PEM.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="Authorities, PEM, one of which must have signed a client's certificate.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say ready as JSON, one object a line.")] = False,
) -> None:
    """Run the service on this machine until SIGINT or SIGTERM.

    Options win over TICKSERVE_* variables, these over the file that TICKSERVE_CONFIG names, and that over the profile.
    SIGHUP makes the service read them again. Prints `tickserve ready grpc=HOST:PORT http=HOST:PORT` once it answers.

    Example: tickserve serve --profile market_hours

    Exit codes: 0 stopped by a signal; 1 it could not start, or ended by itself; 2 wrong usage, or settings that
    cannot be used.
    """
    files = {"cert": tls_cert, "key": tls_key, "client_ca": client_ca}
    read = partial(
        load_settings,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        registry=registry,
        default_model=default_model,
        replicas=replicas,
        engine=engine,
        precision=precision,
        profile=profile,
        tls={name: file for name, file in files.items() if file is not None} or None,
    )
    try:
        settings = read()
    except SettingsError as error:
        fail(str(error), code=2)
    logs = log_to_stream(settings.log)

    def reload() -> Settings:
        changed = read()
        logs.apply(changed.log)
        return changed

    try:
        require_keys(settings)
        serve_until_signalled(settings, reload=reload, announcer=Announcer(as_json=as_json))
    except ModelError as error:
        fail(f"{error}\nTrain a model with `tickserve train`, or name another registry with --registry.")
    except (LaunchError, KeyFileError) as error:
        fail(str(error))
    finally:
        logs.close()

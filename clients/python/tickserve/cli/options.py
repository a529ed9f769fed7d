"""Options that several commands share."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tickserve.channel import DEFAULT_TARGET
from tickserve.tls import TlsOptions

__all__ = ("DEFAULT_TARGET", "Json", "ModelName", "PriorityChoice", "PriorityOption", "Target", "Timeout", "over_tls")


class PriorityChoice(enum.StrEnum):
    """The priorities, as they are typed."""

    REAL_TIME = "real_time"
    STANDARD = "standard"
    BACKGROUND = "background"


Target = Annotated[str, typer.Option("--target", "-t", envvar="TICKSERVE_TARGET", help="Address of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds allowed for the answer.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME[:VERSION]", help="Model that answers.", show_default="the service's"),
]
PriorityOption = Annotated[PriorityChoice, typer.Option("--priority", "-p", help="How urgent it is.")]


_TLS: dict[str, Any] = {
    "tls": Annotated[bool, typer.Option("--tls", help="Connect over TLS, trusting the usual authorities.")],
    "ca": Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", envvar="TICKSERVE_CA", help="Over TLS, trusting these authorities (PEM)."),
    ],
    "cert": Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", envvar="TICKSERVE_CERT", help="The client's own certificate (PEM)."),
    ],
    "api_key": Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            # Read by the client, too; named here for the help. A command line can be seen by everybody.
            help="API key; better set TICKSERVE_API_KEY: others on the machine can read a command line.",
        ),
    ],
    "key": Annotated[Path | None, typer.Option("--key", metavar="FILE", envvar="TICKSERVE_KEY", help="Its key (PEM).")],
}


def over_tls(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of TLS and the API key, and passes them on as its argument `tls`.

    One place for them: each command that connects has them all, and none of them by itself.
    """
    own = inspect.signature(command, eval_str=True)
    defaults: dict[str, bool | None] = {"tls": False}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
        for name, annotation in _TLS.items()
    ]
    kept = [parameter for name, parameter in own.parameters.items() if name != "tls"]

    @functools.wraps(command)
    def connecting(
        tls: bool, ca: Path | None, cert: Path | None, key: Path | None, api_key: str | None, **given: Any
    ) -> None:
        # A client takes both by keyword, so the commands need not tell them apart.
        command(**given, tls={**TlsOptions(tls=tls, ca=ca, cert=cert, key=key), "api_key": api_key})

    # What typer reads: the signature for the order, the annotations for the types.
    signature = own.replace(parameters=[*kept, *options])
    connecting.__dict__["__signature__"] = signature
    connecting.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return connecting

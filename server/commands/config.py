"""`tickserve config`: prints what a Ray cluster is told, for `serve deploy` and KubeRay."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from yaml import safe_dump

from server.commands.console import fail
from server.config.cluster_faults import ClusterSettingsError, cluster_notes
from server.config.settings import SettingsError, load_settings
from server.serve_config import cluster_config

_HEADER = "# Made by `tickserve config` from settings: change those, make it anew, and give it to `serve deploy`.\n"


def config(
    one_node: Annotated[
        bool, typer.Option("--one-node", help="The cluster is one machine: nothing is shared between machines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print the settings in force as a configuration for Ray Serve on a cluster, or for KubeRay's serveConfigV2.

    Refuses settings that would mean something else on other machines, and says what to set instead.

    Example: TICKSERVE_CONFIG=cluster.toml tickserve config > serve.yaml && serve deploy serve.yaml

    Exit codes: 0 printed; 2 wrong usage, or settings that cannot be used, or not on a cluster.
    """
    try:
        settings = load_settings()
        made = cluster_config(settings, one_node=one_node)
    except (SettingsError, ClusterSettingsError) as error:
        fail(str(error), code=2)
    for note in cluster_notes(settings, one_node=one_node):
        typer.echo(f"Note: {note}.", err=True)
    if as_json:
        typer.echo(json.dumps(made))
    else:
        typer.echo(as_yaml(made), nl=False)


def as_yaml(made: dict[str, Any]) -> str:
    """Returns a configuration as a YAML document."""
    return _HEADER + str(safe_dump(made, sort_keys=False, width=120, allow_unicode=True))

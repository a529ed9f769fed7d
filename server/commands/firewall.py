"""`tickserve firewall`: rules for the ports of the service that cannot be bound to loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer

from server.commands.console import fail
from server.config.settings import SettingsError, load_settings
from server.edge import firewall
from server.edge.listeners import listeners

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

app = typer.Typer(
    help="Keep strangers off the ports that must not be public, with nftables.",
    no_args_is_help=True,
    add_completion=False,
)

Allow = Annotated[
    list[int] | None,
    typer.Option("--allow", min=1, max=65535, help="Port of another service that stays public; may be repeated."),
]
Peer = Annotated[
    list[str] | None,
    typer.Option("--peer", metavar="NETWORK", help="Network of the cluster's other machines; may be repeated."),
]


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command("print")
def print_rules(allow: Allow = None, peer: Peer = None, as_json: Json = False) -> None:
    """Print the rules for the settings in force, to be read or to be kept with the machine's other rules.

    Example: tickserve firewall print | sudo nft -f -

    Exit codes: 0 printed; 2 wrong usage, or settings that cannot be used.
    """
    rules = _rules(allow or [], peer or [])
    typer.echo(json.dumps({"rules": rules}) if as_json else rules, nl=as_json)


@app.command()
def apply(allow: Allow = None, peer: Peer = None, as_json: Json = False) -> None:
    """Put the rules in force, as root; they replace our former ones and last until `remove` or a restart.

    Example: sudo -E tickserve firewall apply --allow 22

    Exit codes: 0 in force; 1 not root, no nft, or refused by it; 2 wrong usage, or settings that cannot be used.
    """
    _nft(_rules(allow or [], peer or []))
    if as_json:
        typer.echo(json.dumps({"applied": True}))


@app.command()
def remove(as_json: Json = False) -> None:
    """Take the rules away, as root.

    Example: sudo -E tickserve firewall remove

    Exit codes: 0 gone; 1 not root, no nft, or refused by it; 2 wrong usage.
    """
    _nft(firewall.removal())
    if as_json:
        typer.echo(json.dumps({"removed": True}))


def _rules(allowed: list[int], peers: list[str]) -> str:
    try:
        settings = load_settings()
        networks = [ip_network(peer) for peer in peers]
    except (SettingsError, ValueError) as error:
        fail(str(error), code=2)
    first, last = map(int, _PORT_RANGE.read_text().split())
    rows = listeners(settings, os.environ)
    return firewall.rules(rows, system_ports=(first, last), allowed_ports=allowed, peers=networks)


def _nft(rules: str) -> None:
    if os.geteuid() != 0:
        fail("Only root may change the firewall; `tickserve firewall print | sudo nft -f -` does it, too.")
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        fail("nft is not installed; install the package nftables.")
    done = subprocess.run([program, "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        fail(f"nft refused the rules: {done.stderr.strip()}")

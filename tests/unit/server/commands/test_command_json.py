"""`--json` of the server's commands: one document on standard output, and nothing else there."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from server.announcement import Announcer
from server.commands import config, demo, env, firewall
from server.config.settings import Settings, load_settings
from server.demo import Tally
from server.runtime_env import ray_environment
from server.serve_config import cluster_config
from tests.support.registry import DATA


def invoke(command: Callable[..., Any] | typer.Typer, *arguments: str) -> Result:
    """Runs a command, or one of a group."""
    app = command
    if not isinstance(app, typer.Typer):
        app = typer.Typer()
        app.command()(command)
    return CliRunner().invoke(app, arguments)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without settings."""
    monkeypatch.chdir(tmp_path)


def test_the_environment_is_an_object() -> None:
    """Its values are those that the shell commands would set."""
    shown = invoke(env.env, "--json")
    assert (shown.exit_code, json.loads(shown.stdout)) == (0, ray_environment(Settings()))


def test_a_configuration_is_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is printed as YAML; what cannot be used ends with 2 and says why, on standard error alone."""
    monkeypatch.setenv("TICKSERVE_REGISTRY", "/srv/registry")
    refused = invoke(config.config, "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "replica_cpus" in refused.stderr
    monkeypatch.setenv("TICKSERVE_REPLICA_CPUS", "2")
    shown, plain = invoke(config.config, "--json", "--one-node"), invoke(config.config, "--one-node")
    assert (shown.exit_code, plain.exit_code) == (0, 0)
    assert json.loads(shown.stdout) == yaml.safe_load(plain.stdout) == cluster_config(load_settings(), one_node=True)


def test_firewall_rules_are_a_string() -> None:
    """The very text that is printed without the option."""
    shown = invoke(firewall.app, "print", "--allow", "50000", "--json")
    plain = invoke(firewall.app, "print", "--allow", "50000")
    assert (shown.exit_code, json.loads(shown.stdout)) == (0, {"rules": plain.stdout})


def test_firewall_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they are in force."""
    given: list[str] = []
    monkeypatch.setattr(firewall, "_nft", given.append)
    for command, told in (("apply", {"applied": True}), ("remove", {"removed": True})):
        assert json.loads(invoke(firewall.app, command, "--json").stdout) == told
        assert invoke(firewall.app, command).stdout == ""
    assert len(given) == 4


@pytest.mark.parametrize(
    ("latencies", "errors", "code"), [([0.25], {}, 0), ([0.25], {"QUEUE_FULL": 2}, 1), ([], {}, 1)]
)
def test_a_demo_ends_with_its_figures(
    monkeypatch: pytest.MonkeyPatch, latencies: list[float], errors: dict[str, int], code: int
) -> None:
    """Good is what predicted without an error; all but the figures is on standard error."""

    async def show(*arguments: Any) -> None:
        tally: Tally = next(argument for argument in arguments if isinstance(argument, Tally))
        for seconds in latencies:
            tally.answered("StreamTicks", seconds)
        tally.errors.update(errors)

    monkeypatch.setattr(demo, "running", lambda _settings: contextlib.nullcontext())
    monkeypatch.setattr(demo, "_train_if_missing", lambda *_arguments: typer.echo("training"))
    monkeypatch.setattr(demo, "_show", show)
    shown = invoke(demo.demo, "--data", str(DATA), "--json")
    p50 = 250.0 if latencies else None
    figures = {"predictions": len(latencies), "errors": errors, "p50_ms": p50, "p99_ms": p50}
    assert (shown.exit_code, json.loads(shown.stdout)) == (code, {"ok": code == 0, **figures})
    assert "training" in shown.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_serve_says_what_became_of_it(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """Lines as they always were, or an object each."""
    announcer = Announcer(as_json=as_json)
    announcer.ready(Settings(grpc_port=9100, http_port=8100))
    announcer.reconfigured()
    announcer.not_reconfigured(ValueError("no such profile"))
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        assert [json.loads(line) for line in lines] == [
            {"event": "ready", "grpc": "127.0.0.1:9100", "http": "127.0.0.1:8100", "tls": False},
            {"event": "reconfigured"},
            {"event": "not_reconfigured", "error": "no such profile"},
        ]
    else:
        assert lines == [
            "tickserve ready grpc=127.0.0.1:9100 http=127.0.0.1:8100",
            "tickserve reconfigured",
            "tickserve not reconfigured: no such profile",
        ]


def test_serve_names_the_edge(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With TLS the addresses are the edge's."""
    files = {name: tmp_path / f"{name}.pem" for name in ("cert", "key")}
    Announcer().ready(Settings(tls={**files, "grpc_port": 9500, "http_port": 8500}))  # type: ignore[arg-type]
    assert capsys.readouterr().out == "tickserve ready grpc=127.0.0.1:9500 http=127.0.0.1:8500 tls=on\n"

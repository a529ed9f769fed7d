"""Other distributions' commands join the tree, are loaded only when invoked, and are missed politely."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType

import pytest
import typer

from tests.unit.cli.conftest import Run
from tickserve.cli import main as entry
from tickserve.cli import plugins


def install(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    """Makes entry points as if distributions had brought them."""
    found = EntryPoints(EntryPoint(name, value, plugins.GROUP) for name, value in entries.items())
    monkeypatch.setattr(plugins, "entry_points", lambda group: found.select(group=group))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module from which commands can be loaded."""
    made = ModuleType("commands_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


@pytest.mark.parametrize("command", ["serve", "train", "env", "demo", "replay", "keys", "migrate", "firewall"])
def test_a_missing_command_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The server's commands exist without the server, and end with code 2 and the remedy."""
    install(monkeypatch)
    outcome = run(command, "--any", "argument")
    assert outcome.code == 2
    assert "pip install --upgrade tickserve-server" in outcome.err


def test_an_installed_command_runs(run: Run, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """A function with typer's annotations is a command: its options, its help, its exit code."""

    def serve(port: int = 9000) -> None:
        """Serves for the test."""
        typer.echo(f"serving on {port}")
        raise typer.Exit(7)

    module.serve = serve  # type: ignore[attr-defined]
    install(monkeypatch, serve="commands_of_a_test:serve")
    outcome = run("serve", "--port", "1234")
    assert (outcome.code, outcome.out) == (7, "serving on 1234\n")
    assert "Serves for the test." in run("serve", "--help").out
    assert run("serve", "--port", "many").code == 2


def test_an_installed_command_may_have_sub_commands(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """A `typer.Typer` is a command with its own commands, even with one alone."""
    keys = typer.Typer()

    @keys.command()
    def revoke(name: str) -> None:
        typer.echo(f"revoked {name}")

    @keys.callback()
    def root() -> None:
        """Looks after keys."""

    module.keys = keys  # type: ignore[attr-defined]
    install(monkeypatch, keys="commands_of_a_test:keys")
    assert run("keys", "revoke", "mine").out == "revoked mine\n"


def test_help_loads_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that cannot even be imported does not spoil the help, or another command."""
    install(monkeypatch, serve="no_such_module:serve", extra="no_such_module:extra")
    outcome = run("--help")
    assert outcome.code == 0
    for shown in ("serve", "Start the service", "extra", "predict", "Exit codes", "TICKSERVE_TARGET"):
        assert shown in outcome.out
    assert run("health").code == 0


def test_a_broken_command_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that fails is one panel, not a traceback."""
    install(monkeypatch, train="no_such_module:train")
    outcome = run("train")
    assert outcome.code == 2
    assert "no_such_module" in outcome.err


def test_nobody_replaces_a_command_of_the_clients(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tickserve health` is what it is, whatever is installed."""
    install(monkeypatch, health="no_such_module:health")
    assert run("health").code == 0


def test_a_typing_error_is_answered_with_a_guess(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that are not loaded are suggested, too."""
    install(monkeypatch)
    outcome = run("serv")
    assert (outcome.code, "serve" in outcome.err) == (2, True)


def test_without_the_extra_the_script_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library alone has a script, too: it names what is missing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "rich" else object())
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == 2
    assert "pip install 'tickserve[cli]'" in capsys.readouterr().err


def test_help_imports_no_heavy_package() -> None:
    """`--help` neither loads the server nor anything that takes seconds."""
    script = (
        "import sys; sys.argv = ['tickserve', '--help']\n"
        "from tickserve.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'ray', 'torch', 'openvino', 'server', 'model', 'batching'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_the_version_is_told(run: Run) -> None:
    """`--version` names the distribution's version."""
    outcome = run("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("tickserve ")

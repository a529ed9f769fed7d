"""Every command, the server's included, has examples, `--json` and exit codes, and docs/cli.md has the same ones."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
import pytest
import typer
from typer.main import get_command

from scripts.layering import ROOT
from tests.unit.cli.conftest import Run
from tickserve.cli.app import build_app
from tickserve.cli.plugins import LazyCommand

DOCUMENT = ROOT / "docs/cli.md"


class Command(NamedTuple):
    """One command that does something."""

    path: tuple[str, ...]
    help: str
    options: frozenset[str]

    @property
    def name(self) -> str:
        """How it is typed."""
        return " ".join(("tickserve", *self.path))

    @property
    def exit_codes(self) -> str:
        """What its help says of them, on one line; empty where it says nothing."""
        found = re.search(r"Exit codes: (.*?)(?:\n\n|\Z)", self.help, flags=re.DOTALL)
        return " ".join(found[1].split()) if found else ""

    @property
    def examples(self) -> list[str]:
        """The commands of its examples."""
        return [" ".join(line.split()) for line in re.findall(r"^ *Example: (.*)$", self.help, flags=re.MULTILINE)]


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[Command]:
    """Yields the commands below one, loading those that other distributions bring."""
    if isinstance(command, LazyCommand):
        command = command.loaded()
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from walk(each, (*path, name))
        return
    options = {option for parameter in command.params for option in parameter.opts}
    yield Command(path, command.help or "", frozenset(options))


def documented() -> dict[str, str]:
    """Returns the table of exit codes in the document, by command."""
    rows = re.findall(
        r"^\| `(tickserve [a-z -]+)` \| (.*) \|$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert len(dict(rows)) == len(rows)
    return dict(rows)


COMMANDS = list(walk(get_command(build_app())))


def each(command: Command) -> str:
    """Names a test after its command."""
    return "-".join(command.path)


def test_the_walk_finds_the_commands_of_both_distributions() -> None:
    """Commands of the client, of the server, and those below a group."""
    names = {command.path for command in COMMANDS}
    assert names >= {("predict",), ("bench", "load"), ("serve",), ("keys", "add"), ("firewall", "print"), ("train",)}


@pytest.mark.parametrize("command", COMMANDS, ids=each)
def test_a_command_has_examples_of_itself(command: Command) -> None:
    """Each example is of the command that shows it."""
    assert command.examples
    assert all(command.name in example for example in command.examples)


@pytest.mark.parametrize("command", COMMANDS, ids=each)
def test_an_example_names_options_that_there_are(command: Command) -> None:
    """What is copied from a help is not refused for a word in it."""
    for example in command.examples:
        own = example.partition(command.name)[2].partition("|")[0].partition(")")[0]
        used = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", own))
        assert used <= command.options, example


@pytest.mark.parametrize("command", COMMANDS, ids=each)
def test_a_command_speaks_json(command: Command) -> None:
    """Programs need not read tables."""
    assert "--json" in command.options


@pytest.mark.parametrize("command", COMMANDS, ids=each)
def test_exit_codes_are_documented_alike(command: Command) -> None:
    """The help and the table in the document say the same; 0 and 2 are always among them."""
    assert documented().get(command.name) == command.exit_codes.removesuffix(".")
    assert {"0", "2"} <= set(re.findall(r"\b(\d+) [A-Za-z]", command.exit_codes))


def test_the_document_names_no_command_that_is_gone() -> None:
    """The table has no more rows than there are commands."""
    assert documented().keys() == {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=each)
def test_help_shows_it_all(run: Run, command: Command) -> None:
    """What the docstring says reaches whoever types `--help`."""
    outcome = run(*command.path, "--help")
    assert outcome.code == 0
    shown = " ".join(outcome.out.split())
    assert "--json" in shown
    assert all(example in shown for example in command.examples)
    assert f"Exit codes: {command.exit_codes}" in shown


def test_a_group_is_walked() -> None:
    """The walk takes click's groups and typer's alike, else commands below them would go unseen."""
    app = typer.Typer()
    app.command("one")(lambda: None)
    app.command("two")(lambda: None)
    assert [command.path for command in walk(get_command(app))] == [("one",), ("two",)]
    group = click.Group("g", commands={"c": click.Command("c", help="Exit codes: 0 done.")})
    assert [(command.path, command.exit_codes) for command in walk(group)] == [(("c",), "0 done.")]

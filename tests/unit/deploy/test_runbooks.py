"""The runbooks lead somewhere: each entry says what it must, and every name in it is one that exists."""

import re
from pathlib import PurePosixPath

import pytest
from typer.main import get_command

from scripts.layering import ROOT
from server.config.settings import Settings
from server.redis_url import parse_redis_url
from server.refusal import Reason
from tests.support.deployed import alerts
from tests.support.documented import blocks
from tickserve.cli.app import build_app
from tickserve.cli.plugins import LazyCommand

PAGE = "docs/runbooks.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL))
CODE = re.findall(r"`([^`\n]+)`", TEXT) + [line for block in blocks(PAGE) for line in block.commands()]
WANTED = (
    *("Replica or node loss", "Head loss", "Redis loss", "Warm standby in a second site", "Upgrade of tickserve"),
    *("Upgrade of Ray", "Certificates and keys", "Capacity", "Halting trade", "Full disk", "Roll back"),
)


def test_every_entry_is_there() -> None:
    """Each once, and none that is not expected here."""
    assert tuple(ENTRIES) == WANTED


@pytest.mark.parametrize("name", WANTED)
def test_every_entry_says_when_it_is_over_and_what_is_lost(name: str) -> None:
    """A change has no symptoms; all else says how it shows. A table says it in its head."""
    entry = ENTRIES[name].lower()
    if name == "Roll back":
        assert "how to take it back" in entry
        return
    assert "over when" in entry
    assert re.search(r"\blost\b|\brpo\b", entry)
    if not name.startswith("Upgrade"):
        assert "symptoms" in entry


def test_alerts_that_it_names_exist() -> None:
    """And those that page about what this page is for are named."""
    named = set(re.findall(r"\bTickserve[A-Z]\w+", TEXT))
    assert named <= set(alerts())
    assert {"TickserveDown", "TickserveWindowStoreFailing", "TickserveHaltsStale", "TickserveReplicaGone"} <= named


def test_commands_of_ours_exist() -> None:
    """With their options."""
    known = get_command(build_app())
    lines = [line for line in CODE if line.startswith("tickserve ")]
    assert len(lines) >= 8
    for line in lines:
        words = line.split()[1:]
        command = known
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
            command = command.loaded() if isinstance(command, LazyCommand) else command
        assert words[:1] == [] or words[0].startswith("-") or not hasattr(command, "commands"), line
        options = {option for param in command.params for option in param.opts}
        for option in (word for word in words if word.startswith("--")):
            assert option in options | {"--version"}, line


def test_settings_and_reasons_that_it_names_exist() -> None:
    """Dotted names of a group that is there, and words in capitals that callers are told."""
    for group, name in re.findall(r"\b([a-z_]+)\.([a-z_]+)\b", " ".join(CODE)):
        field = Settings.model_fields.get(group)
        fields = getattr(field.annotation, "model_fields", None) if field else None
        if fields is not None and name not in ("no", "py", "md", "toml", "yaml"):
            assert name in fields, f"{group}.{name}"
    reasons = {reason.name for reason in Reason}
    for word in ("STORE_UNAVAILABLE", "MODEL_LOADING", "HALT_STORE_UNAVAILABLE", "DECISION_LOG_UNAVAILABLE"):
        assert word in TEXT
        assert word in reasons


def test_addresses_of_a_redis_are_ones_that_are_taken() -> None:
    """As `redis+sentinel://...` stands there, so it works."""
    urls = re.findall(r"redis(?:\+sentinel)?://[^\s\"`]+", TEXT)
    assert urls
    for url in urls:
        parse_redis_url(url)


def test_pages_and_files_that_it_leads_to_exist() -> None:
    """Links between pages, with their headings, and paths of the repository."""
    for target, heading in re.findall(r"\]\((?!http)([\w./-]*)(?:#([\w-]+))?\)", TEXT):
        # The site has the changelog as a page of its own.
        file = ROOT / ("CHANGELOG.md" if target == "changelog.md" else PurePosixPath("docs", target or "runbooks.md"))
        assert file.is_file(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, heading
    for path in re.findall(r"`((?:tests|deploy|scripts)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path

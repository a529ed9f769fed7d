"""Whoever is woken finds what to do: each alert has an entry in the runbook, each entry an alert."""

import re

import pytest

from scripts.layering import ROOT
from tests.support.deployed import DEPLOY, alerts, dashboard

RUNBOOK = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^## (Tickserve\w+)\n\n(.*?)(?=^## |\Z)", RUNBOOK, flags=re.MULTILINE | re.DOTALL))


def test_alerts_and_entries_are_the_same() -> None:
    """In both directions, each once."""
    assert list(ENTRIES) == re.findall(r"^## (Tickserve\w+)$", RUNBOOK, flags=re.MULTILINE)
    assert sorted(ENTRIES) == sorted(alerts())


@pytest.mark.parametrize("name", sorted(alerts()))
def test_every_alert_says_how_urgent_it_is_and_where_to_read_on(name: str) -> None:
    """Severity, words for the pager, and a link that hits the entry; the entry is of the same severity."""
    alert = alerts()[name]
    assert alert["labels"].keys() == {"severity"}
    severity = alert["labels"]["severity"]
    assert severity in ("page", "ticket")
    assert re.match(rf"\*\*{severity}\b", ENTRIES[name]), name
    notes = alert["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/alerts.md#{name.lower()}"
    assert len(notes["description"]) > 30
    assert len(notes["summary"]) < 110


def test_panels_that_the_runbook_sends_to_exist() -> None:
    """Titles are in italics, as in the dashboard's own descriptions."""
    titles = {panel["title"] for panel in dashboard()["panels"]}
    for page in ("docs/alerts.md", "docs/drill.md"):
        named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", (ROOT / page).read_text(encoding="utf-8")))
        assert named, page
        assert named - titles == set(), page


def test_no_file_to_deploy_names_a_machine() -> None:
    """Addresses are loopback, to be replaced, or all of a machine's own; nobody's host stands there."""
    for file in DEPLOY.rglob("*.*"):
        hosts = re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", file.read_text(encoding="utf-8"))
        assert set(hosts) <= {"127.0.0.1", "0.0.0.0"}, file

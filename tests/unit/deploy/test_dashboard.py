"""The Grafana dashboard: made by its generator, readable, and understood by Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from scripts.dashboard.__main__ import FILE, text
from scripts.dashboard.board import COLUMNS, ROWS, panels
from tests.support.deployed import DEPLOY, dashboard, filled, panel_expressions, read_yaml
from tests.support.promtool import promtool

# Grafana's names of units that this dashboard uses.
UNITS = {"s", "reqps", "ops", "percentunit", "bytes", "none", "short"}


def shown() -> list[dict[str, Any]]:
    """Returns the panels that show figures."""
    return [panel for panel in dashboard()["panels"] if panel["type"] not in ("row", "text")]


def test_the_committed_dashboard_is_what_its_generator_writes() -> None:
    """Whoever changes one changes the other: `python -m scripts.dashboard generate`."""
    assert FILE.read_text(encoding="utf-8") == text()


def test_rows_are_in_the_order_of_a_reading() -> None:
    """Is it us, who suffers, where, why."""
    headings = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert headings == ["1. Is it us?", "2. Who suffers?", "3. Where?", "4. Why?"]
    assert [row.title for row in ROWS] == headings


def test_every_panel_says_how_to_read_it() -> None:
    """Each has a title of its own, a description in sentences, a unit, and asks for something."""
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in shown():
        assert len(panel["description"]) > 60, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]


def test_panels_named_in_a_description_exist() -> None:
    """A reading that leads on to another panel, whose title it gives in italics, leads to one that is there."""
    titles = {panel.title for panel in panels()}
    named = {title for panel in panels() for title in re.findall(r"\*([^*]+)\*", panel.description)}
    assert named
    assert named - titles == set()


def test_every_panel_asks_the_chosen_prometheus_about_the_chosen_installation() -> None:
    """No panel is bound to one Grafana's data source, or mixes installations."""
    for panel in shown():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'job="$job"' in target["expr"] or "ALERTS{" in target["expr"], panel["title"]
            assert target["expr"].count("{") == target["expr"].count('job="$job"') or "ALERTS{" in target["expr"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_fill_the_grid_without_overlap() -> None:
    """No two panels share a cell, and none sticks out."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    """Each is read by promtool as a rule's; Grafana's variables have values then."""
    listed = [
        {"record": f"panel:{number}", "expr": filled(expr)} for number, (_, expr) in enumerate(panel_expressions())
    ]
    assert len(listed) > 50
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": listed}]}), encoding="utf-8")
    assert f"{len(listed)} rules found" in promtool("check", "rules", file)


def test_provisioning_names_the_same_scrape_interval_as_prometheus() -> None:
    """`$__rate_interval` is made from the data source's interval: a shorter one than the real would make holes."""
    source = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    config = read_yaml(DEPLOY / "prometheus/prometheus.yml")
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert source["type"] == "prometheus"
    provider = read_yaml(DEPLOY / "grafana/provisioning/dashboards/tickserve.yml")["providers"][0]
    assert provider["type"] == "file"


def test_the_dashboard_is_of_the_schema_that_it_says() -> None:
    """A classic dashboard has its panels at the top, and a version that Grafana migrates from."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    assert document["schemaVersion"] == 42
    assert {variable["name"] for variable in document["templating"]["list"]} == {"datasource", "job"}

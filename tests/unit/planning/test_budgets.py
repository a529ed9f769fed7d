"""The file of budgets is whole and says where each figure comes from; another file replaces what it names."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from planning.budgets import FILE, UNITS, budgets_of, read_budgets
from planning.planning_error import InvalidBudgetsError
from scripts.layering import ROOT

DOCUMENT = tomllib.loads(FILE.read_text(encoding="utf-8"))


def changed(**entries: dict[str, Any]) -> dict[str, Any]:
    """Returns the document with some figures changed."""
    return DOCUMENT | {"figures": DOCUMENT["figures"] | entries}


def test_every_figure_says_where_it_comes_from() -> None:
    """What is measured names its command, a date and a machine; what is not says that it is assumed."""
    known = read_budgets()
    assert known.figures.keys() == UNITS.keys()
    for name, figure in known.figures.items():
        assert figure.unit == UNITS[name]
        assert figure.title != name
        if not figure.is_assumed:
            assert figure.date
            assert figure.machine
            module = figure.method.split()[2]
            assert (ROOT / module.replace(".", "/")).is_dir(), f"{name}: {figure.method}"


def test_engines_say_where_they_come_from() -> None:
    """Each has a table of costs, and what a replica takes."""
    known = read_budgets()
    assert {"openvino", "torchscript"} <= known.engines.keys()
    for engine in known.engines.values():
        assert engine.method
        assert engine.date
        assert len(engine.table.seconds_by_batch_size) > 1
        assert engine.cpus > 0


def test_another_file_replaces_what_it_names(tmp_path: Path) -> None:
    """One value of one figure, the rest as it was; and an engine of its own."""
    file = tmp_path / "mine.toml"
    file.write_text(
        "[figures.vcpu_hour_price]\nvalue = 0.07\n"
        '[engines.cuda]\nsource = "mine"\ncpus = 4\ngpus = 0.5\nmethod = "assumed"\n'
        "seconds_by_batch_size = { 1 = 0.002, 64 = 0.004 }\n",
        encoding="utf-8",
    )
    known, mine = read_budgets(), read_budgets(file)
    assert mine.value("vcpu_hour_price") == 0.07
    assert mine.figures["vcpu_hour_price"].title == known.figures["vcpu_hour_price"].title
    assert mine.value("loop_unary_seconds") == known.value("loop_unary_seconds")
    assert mine.engine("cuda").table.duration(64) == 0.004
    assert mine.engine("cuda").gpus == 0.5


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"speed": {"value": 1}}, "speed is no figure"),
        ({"loop_share": {"value": 0}}, "loop_share is 0; give a part above 0"),
        ({"loop_share": {"value": 1.5}}, "give a part above 0"),
        ({"unary_bytes": {"value": -1}}, "unary_bytes is -1; give a number"),
        ({"unary_bytes": {"value": "many"}}, "unary_bytes is 'many'"),
        ({"unary_bytes": {"value": True}}, "unary_bytes is True"),
        ({"unary_bytes": {"value": float("nan")}}, "unary_bytes is nan"),
        ({"unary_bytes": {"value": 1, "unit": "KB"}}, "is in 'KB'; give it in bytes"),
        ({"unary_bytes": {"value": 1, "colour": "red"}}, "unary_bytes has colour"),
        ({"node_cpus": {"value": 0}}, "node_cpus is 0"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(entries: dict[str, Any], says: str) -> None:
    """The message names the figure."""
    with pytest.raises(InvalidBudgetsError, match=says):
        budgets_of(changed(**entries))


def test_a_figure_that_is_missing_is_named() -> None:
    """A plan needs them all."""
    figures = {name: entry for name, entry in DOCUMENT["figures"].items() if name != "loop_share"}
    with pytest.raises(InvalidBudgetsError, match="loop_share: missing"):
        budgets_of(DOCUMENT | {"figures": figures})


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "engine x lacks cpus"),
        ({"cpus": 1, "gpus": 0, "method": "m"}, "engine x lacks seconds_by_batch_size"),
        ({"cpus": 1, "gpus": 0, "method": "m", "source": "s", "seconds_by_batch_size": {"1": -1}}, "engine x: seconds"),
        ({"cpus": 0, "gpus": 0, "method": "m", "source": "s", "seconds_by_batch_size": {"1": 1}}, "cpus must be above"),
        ({"cpus": 1, "gpus": 0, "method": "m", "source": "s", "seconds_by_batch_size": {"1": 1}, "q": 1}, "engine x:"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(entry: dict[str, Any], says: str) -> None:
    """The message names the engine."""
    with pytest.raises(InvalidBudgetsError, match=says):
        budgets_of(DOCUMENT | {"engines": {"x": entry}})


def test_an_engine_nobody_measured_is_refused_with_the_remedy() -> None:
    """There are no figures for GPUs: none has been at hand."""
    with pytest.raises(InvalidBudgetsError, match="--engine: cuda has not been measured; take one of openvino"):
        read_budgets().engine("cuda")


@pytest.mark.parametrize("content", ["not toml [", None])
def test_a_file_that_cannot_be_read_is_refused(content: str | None, tmp_path: Path) -> None:
    """By its name."""
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidBudgetsError, match=r"--budgets: .*mine\.toml is not a readable TOML file"):
        read_budgets(file)

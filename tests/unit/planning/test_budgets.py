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


def test_what_replaces_a_figure_does_not_keep_its_origin(tmp_path: Path) -> None:
    """Title and unit stay; who measured the former one, when, where and what is to be known of it do not."""
    file = tmp_path / "mine.toml"
    file.write_text(
        "[figures.loop_unary_seconds]\nvalue = 0.001\n"
        "[figures.loop_share]\nvalue = 0.5\n"
        '[figures.tick_bytes]\nvalue = 600\nmethod = "tcpdump"\ndate = 2027-01-02\n',
        encoding="utf-8",
    )
    known, mine = read_budgets(), read_budgets(file)
    loop = mine.figures["loop_unary_seconds"]
    assert (loop.method, loop.date, loop.machine, loop.note) == ("given by mine.toml", "", "", "")
    assert loop.title == known.figures["loop_unary_seconds"].title
    assert loop.unit == "s"
    assert loop.is_given
    share = mine.figures["loop_share"]
    assert (share.method, share.note, share.is_assumed) == ("given by mine.toml", "", False)
    tick = mine.figures["tick_bytes"]
    assert (tick.method, tick.date, tick.machine, tick.is_given) == ("tcpdump", "2027-01-02", "", False)
    assert mine.figures["unary_bytes"] == known.figures["unary_bytes"]


def test_what_replaces_an_engine_does_not_keep_its_origin(tmp_path: Path) -> None:
    """Its size may change alone; a table of one's own has a source of its own, too."""
    file = tmp_path / "mine.toml"
    file.write_text(
        "[engines.openvino]\ncpus = 4\n[engines.torchscript]\nseconds_by_batch_size = { 1 = 0.002 }\n",
        encoding="utf-8",
    )
    known, mine = read_budgets(), read_budgets(file)
    sized, tabled = mine.engine("openvino"), mine.engine("torchscript")
    assert (sized.cpus, sized.table) == (4, known.engine("openvino").table)
    for engine in (sized, tabled):
        assert (engine.method, engine.date, engine.machine) == ("given by mine.toml", "", "")
    assert (tabled.cpus, tabled.table.source) == (known.engine("torchscript").cpus, "given by mine.toml")
    file.write_text('[engines.openvino]\ncpus = 4\nmethod = "stopwatch"\ndate = "today"\n', encoding="utf-8")
    again = read_budgets(file).engine("openvino")
    assert (again.method, again.date, again.machine) == ("stopwatch", "today", "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[figures]\nnode_cpus = 64", r"figures.node_cpus is 64; give a table: \[figures.node_cpus\] with value = 64"),
        ("figures = [1]", r"figures is \[1\]; give tables, each as \[figures.NAME\] with value = 1"),
        ("figures = 3", "figures is 3; give tables"),
        ("[engines]\nopenvino = 2", r"engines.openvino is 2; give a table: \[engines.openvino\] with cpus"),
        ("[[engines.cuda]]\ncpus = 2", "engines.cuda is .*; give a table"),
        ("engines = true", "engines is True; give tables"),
        ("[node_cpus]\nvalue = 64", r"node_cpus means nothing; put figures into \[figures.NAME\]"),
        ('[figures.node_cpus]\nnote = "many"', "node_cpus lacks value"),
        ("[figures.node_cpus]\nvalue = 1\nmethod = 5", "node_cpus: method is 5; give a text"),
        ('[engines.openvino]\ncpus = "two"', "engine openvino: cpus must be above 0"),
        ("[engines.openvino]\ngpus = nan", "engine openvino: cpus must be above 0 and gpus at least 0"),
        ("[engines.openvino]\nseconds_by_batch_size = 3", "engine openvino: "),
    ],
)
def test_a_file_of_another_form_is_refused(content: str, says: str, tmp_path: Path) -> None:
    """The message names the key and the form that is wanted."""
    file = tmp_path / "mine.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidBudgetsError, match=says):
        read_budgets(file)


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
        ({"unary_bytes": {"value": 10**400}}, "unary_bytes is 1000"),
        ({"node_cpus": {"value": 0}}, "node_cpus is 0; give what a node has"),
        ({"replica_bytes": {"value": 0}}, "replica_bytes is 0; give what a replica takes"),
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


@pytest.mark.parametrize("content", ["not toml [", f"value = {'9' * 5000}", None])
def test_a_file_that_cannot_be_read_is_refused(content: str | None, tmp_path: Path) -> None:
    """By its name."""
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidBudgetsError, match=r"--budgets: .*mine\.toml is not a readable TOML file"):
        read_budgets(file)

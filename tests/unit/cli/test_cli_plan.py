"""`tickserve plan` shows the plan, as text and as JSON, and refuses what cannot be planned with the option's name."""

import json
import math
from pathlib import Path

import pytest

from planning.budgets import read_budgets
from tests.unit.cli.conftest import Run

# Few requests: what is planned is tested beside `planning`.
QUICK = ("--requests", "400", "--spare", "1")
LOAD = ("--rate", "2000", "--mix", "real_time=0.1,standard=0.6,background=0.3", "--slo", "real_time=200ms")


def test_a_plan_as_text(run: Run) -> None:
    """Replicas, settings, classes, bottlenecks at three rates, price, and every figure it took for granted."""
    outcome = run("plan", *LOAD, *QUICK)
    assert outcome.code == 0
    first, *_ = outcome.out.splitlines()
    assert first.startswith("plan: ")
    assert "replicas (1 spare)" in first
    for word in ("scheduler.max_batch_duration", "real_time", "10,000/s", "100,000/s", "1,000,000/s", "USD a million"):
        assert word in outcome.out
    for figure in read_budgets().figures.values():
        assert figure.title in outcome.out


def test_a_plan_as_json(run: Run) -> None:
    """The same for programs; the settings' timeouts are the goals of classes that have none."""
    outcome = run("plan", *LOAD, "--json", *QUICK, TICKSERVE_DEFAULT_TIMEOUTS__STANDARD="2.5")
    document = outcome.json
    assert document["demand"]["slo_seconds"] == {"real_time": 0.2, "standard": 2.5, "background": 30.0}
    assert document["cpus"] == document["replicas"] * document["engine"]["cpus"]
    each = document["replica"]["most_per_second"]
    assert document["replicas"] == math.ceil(2000 / each) + 1
    assert [entry["rate"] for entry in document["bottlenecks"]] == [2000, 10_000, 100_000, 1_000_000]
    for entry in document["bottlenecks"]:
        fullest = max(entry["parts"], key=lambda part: part["utilisation"])
        assert entry["first"] == (fullest["name"] if fullest["utilisation"] > 1 else None)
    assert run("plan", *LOAD, "--json", *QUICK, TICKSERVE_DEFAULT_TIMEOUTS__STANDARD="2.5").json == document


def test_costs_of_ones_own(run: Run, tmp_path: Path) -> None:
    """An engine that nobody has measured here can be planned with its table; a GPU is its own unless said otherwise."""
    file = tmp_path / "gpu.json"
    file.write_text(
        json.dumps({"source": "mine", "seconds_by_batch_size": {"1": 0.002, "64": 0.004}}), encoding="utf-8"
    )
    options = ("plan", *LOAD, "--engine", "cuda", "--costs", str(file), "--json", *QUICK)
    document = run(*options).json
    assert document["engine"]["gpus"] == 1.0
    assert document["engine"]["costs"]["source"] == "mine"
    assert document["replica"]["bound"] == "event loop"
    halves = run(*options, "--gpus", "0.5", "--cpus", "3").json
    assert (halves["gpus"], halves["cpus"]) == (0.5 * halves["replicas"], 3 * halves["replicas"])


def test_streams_use_a_redis_unless_said_otherwise(run: Run) -> None:
    """Several replicas can only keep windows together."""
    options = ("plan", "--streams", "100", "--ticks-per-second", "1", "--json", *QUICK)
    parts = [part["name"] for part in run(*options).json["bottlenecks"][0]["parts"]]
    assert "Redis of the windows" in parts
    without = [part["name"] for part in run(*options, "--no-redis").json["bottlenecks"][0]["parts"]]
    assert "Redis of the windows" not in without


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 2, "--rate: nothing is sent"),
        (("--rate", "-1"), 2, "--rate: -1 is no rate"),
        (("--rate", "10", "--mix", "standard=0.5"), 2, "--mix: the shares add up to 0.5"),
        (("--rate", "10", "--mix", "urgent"), 2, "--mix: 'urgent' is no class"),
        (("--rate", "10", "--slo", "standard=soon"), 2, "--slo: 'soon' is no time"),
        (("--rate", "10", "--stream-class", "x"), 2, "--stream-class: 'x' is no class"),
        (("--rate", "10", "--engine", "cuda"), 2, "--engine: cuda has not been measured"),
        (("--rate", "10", "--costs", "nowhere.json"), 2, "--costs: nowhere.json is no cost table"),
        (("--rate", "10", "--budgets", "nowhere.toml"), 2, "--budgets: nowhere.toml is not a readable TOML file"),
        (("--rate", "10", "--cpus", "0"), 2, "--cpus: a replica needs some"),
        (("--rate", "10", "--gpus", "-1"), 2, "--gpus: -1 cannot be"),
        (("--rate", "10", "--spare", "-1"), 2, "--spare: -1 replicas cannot be"),
        (("--rate", "10", "--goal", "1"), 2, "--goal: 1 is no part"),
        (("--rate", "10", "--slo", "standard=1ms"), 1, "--slo: standard within 1 ms: one request alone takes"),
    ],
)
def test_what_cannot_be_planned_is_refused(run: Run, options: tuple[str, ...], code: int, says: str) -> None:
    """2 for what is asked wrongly, 1 where no number of replicas would do."""
    outcome = run("plan", *options)
    assert outcome.code == code
    assert says in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[figures]\nnode_cpus = 64", "--budgets: figures.node_cpus is 64; give a table"),
        ("figures = [1, 2]", "--budgets: figures is [1, 2]; give tables"),
        ("[figures.replica_bytes]\nvalue = 0", "--budgets: replica_bytes is 0"),
        ("[figures.node_bytes]\nvalue = 1", "--budgets: a replica takes"),
        ("[engines]\nopenvino = 2", "--budgets: engines.openvino is 2; give a table"),
        ('[engines.openvino]\ncpus = "two"', "--budgets: engine openvino: cpus must be above 0"),
    ],
)
def test_budgets_that_cannot_be_used_are_refused(run: Run, content: str, says: str, tmp_path: Path) -> None:
    """With the key and the form that is wanted, no traceback: `run` raises what the command does not catch."""
    file = tmp_path / "mine.toml"
    file.write_text(content, encoding="utf-8")
    outcome = run("plan", "--rate", "10", "--budgets", str(file))
    assert outcome.code == 2
    assert says in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def test_a_figure_of_ones_own_is_not_said_to_be_measured(run: Run, tmp_path: Path) -> None:
    """The plan says which file gave it; others are said to be measured still."""
    file = tmp_path / "mine.toml"
    file.write_text("[figures.loop_unary_seconds]\nvalue = 0.001\n[engines.openvino]\ncpus = 4\n", encoding="utf-8")
    figures = read_budgets().figures
    said = run("plan", *LOAD, "--budgets", str(file), "--json", *QUICK).json["assumptions"]
    assert f"{figures['loop_unary_seconds'].title}: 1 ms; given by mine.toml" in said
    [engine] = [line for line in said if line.startswith("engine openvino: ")]
    assert engine.endswith("; given by mine.toml")
    [ticks] = [line for line in said if line.startswith(figures["loop_tick_seconds"].title)]
    assert "measured by python -m benchmarks.capacity" in ticks


@pytest.mark.parametrize("content", ["[1]", "{}", '{"seconds_by_batch_size": {"1": -1}, "source": "x"}', "no json"])
def test_a_file_that_is_no_cost_table_is_refused(run: Run, content: str, tmp_path: Path) -> None:
    """Whatever is in it."""
    file = tmp_path / "costs.json"
    file.write_text(content, encoding="utf-8")
    outcome = run("plan", "--rate", "10", "--costs", str(file))
    assert outcome.code == 2
    assert "--costs: " in outcome.err
    assert "is no cost table" in outcome.err


def test_unusable_settings_are_told(run: Run) -> None:
    """As by every command that reads them."""
    outcome = run("plan", "--rate", "10", TICKSERVE_GRPC_PORT="none")
    assert outcome.code == 2
    assert "grpc_port" in outcome.err

"""The command writes a report that is whole, readable and the same each time."""

import json
from pathlib import Path

import pytest

from benchmarks.scheduling.__main__ import main
from benchmarks.scheduling.catalog import WORKLOADS
from benchmarks.scheduling.plots import PLOTS
from scripts.layering import ROOT


def report(folder: Path, *more: str) -> tuple[str, dict[str, object]]:
    """Run the command on two workloads and return what it wrote."""
    options = ["--requests", "2000", "--workload", "steady", "--workload", "live overload", "--out", str(folder)]
    main([*options, *more])
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return (folder / "report.md").read_text(encoding="utf-8"), data


def test_the_report_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, data and every plot are there, and the text shows every plot and every policy."""
    text, data = report(tmp_path)
    for file in PLOTS:
        assert (tmp_path / "plots" / file).read_bytes().startswith(b"\x89PNG")
        assert f"](plots/{file})" in text
    for policy in ("fifo", "strict priority", "early binding", "tickserve"):
        assert text.count(f"| {policy} | real-time |") == 1
    assert len(data["runs"]) == 8  # type: ignore[arg-type]  # a list, as the test would show
    assert "no live run" in text.lower()
    assert "steady, tickserve: goodput" in capsys.readouterr().out


def test_the_same_command_gives_the_same_figures(tmp_path: Path) -> None:
    """Runs and pictures are functions of the options; only the speed differs."""
    folders = [tmp_path / "a", tmp_path / "b"]
    first, again = (report(folder)[1] for folder in folders)
    assert first["runs"] == again["runs"]
    for file in PLOTS:
        assert (folders[0] / "plots" / file).read_bytes() == (folders[1] / "plots" / file).read_bytes()


def test_live_figures_are_set_beside_the_simulator(tmp_path: Path) -> None:
    """The calibration says of each figure whether it agrees or by how much it does not."""
    live = tmp_path / "live.json"
    figures = {"background_per_second": 1.0, "probe_p50_ms": 1.0, "probe_p99_ms": 1.0, "probe_goodput": 1.0}
    costs = {"1": {"count": 9, "p50_ms": 2.0, "p90_ms": 2.1}, "64": {"count": 9, "p50_ms": 30.0, "p90_ms": 31.0}}
    live.write_text(json.dumps({**figures, "costs": costs}), encoding="utf-8")
    text, data = report(tmp_path, "--live", str(live))
    assert text.count("does not agree within 20%") >= 1
    assert len(data["calibration"]) == 4  # type: ignore[arg-type]  # a list, as the test would show


def test_the_page_for_operators_shows_the_figures_of_the_report() -> None:
    """Every row of simulated figures in docs/scheduling.md stands in the report, too: run one, update the other."""
    page = (ROOT / "docs/scheduling.md").read_text(encoding="utf-8").splitlines()
    rows = (ROOT / "benchmarks/scheduling/report.md").read_text(encoding="utf-8").splitlines()
    shown = [line for line in page if line.startswith(tuple(f"| {workload.name} |" for workload in WORKLOADS))]
    assert len(shown) == 2 * len(WORKLOADS)
    assert [line for line in shown if line not in rows] == []

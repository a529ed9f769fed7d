"""A figure has moved only if it moved by more than the tolerance and by more than its own rounds differ."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tickserve.bench.comparison import compare, figures_in
from tickserve.cli.bench import app


def _comparison(values: dict[str, tuple[float, float, float]], *, figure: str = "per_second") -> dict[str, Any]:
    return {
        "scenarios": {
            "unary_64": {
                "figure": figure,
                "servers": {
                    server: {"value": {"median": median, "min": least, "max": greatest}}
                    for server, (least, median, greatest) in values.items()
                },
            }
        }
    }


def _bench(p50: float, *, sent: int = 100, in_time: int = 100, rate: float = 50.0) -> dict[str, Any]:
    figures = {"latency_ms": {"p50": p50}, "rate": rate, "sent": sent, "in_time": in_time, "late": 0}
    return {"report": {"total": figures, "classes": {"standard": figures}}}


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ((115.0, 125.0, 130.0), "better"),
        ((70.0, 75.0, 80.0), "worse"),
        ((95.0, 125.0, 130.0), "same"),  # the rounds overlap
        ((104.0, 105.0, 106.0), "same"),  # within the tolerance
    ],
)
def test_rounds_that_overlap_do_not_tell(after: tuple[float, float, float], verdict: str) -> None:
    """The verdict needs both: more than the tolerance, and ranges apart."""
    before = _comparison({"tickserve": (99.0, 100.0, 103.0)})
    [moved] = compare(before, _comparison({"tickserve": after}), tolerance=0.1)
    assert moved.verdict == verdict
    assert moved.name == "unary_64 per_second, tickserve"


def test_less_is_better_where_it_is_a_latency() -> None:
    """The same numbers, the other way round."""
    slower, faster = {"tickserve": (19.0, 20.0, 21.0)}, {"tickserve": (9.0, 10.0, 11.0)}
    [moved] = compare(_comparison(slower, figure="p50_ms"), _comparison(faster, figure="p50_ms"), tolerance=0.1)
    assert (moved.verdict, moved.ratio) == ("better", 0.5)


def test_the_command_s_own_results_compare_too() -> None:
    """Latency, rate, and the shares of late and failed, for all and by class."""
    verdicts = {
        each.name: each.verdict for each in compare(_bench(10.0), _bench(20.0, in_time=90, rate=50.0), tolerance=0.1)
    }
    assert verdicts["p50, all"] == verdicts["p50, standard"] == "worse"
    assert verdicts["errors, all"] == "worse"
    assert verdicts["rate, all"] == verdicts["late, all"] == "same"


@given(
    st.floats(1e-3, 1e6),
    st.floats(1e-3, 1e6),
    st.floats(0, 1),
    st.sampled_from(["per_second", "p50_ms", "goodput"]),
)
def test_who_is_better_is_not_a_matter_of_order(first: float, second: float, tolerance: float, figure: str) -> None:
    """Never better both ways; a result is the same as itself."""
    one = _comparison({"x": (first, first, first)}, figure=figure)
    other = _comparison({"x": (second, second, second)}, figure=figure)
    [there], [back] = compare(one, other, tolerance=tolerance), compare(other, one, tolerance=tolerance)
    assert {there.verdict, back.verdict} in ({"same"}, {"better", "worse"}, {"same", "better"}, {"same", "worse"})
    assert compare(one, one, tolerance=tolerance)[0].verdict == "same"


@pytest.mark.parametrize("document", [{}, {"report": 3}, {"scenarios": []}])
def test_what_is_no_result_is_refused(document: dict[str, Any]) -> None:
    """The message says where results come from."""
    with pytest.raises(ValueError, match="--out"):
        figures_in(document)


def test_results_without_a_common_figure_are_refused() -> None:
    """A command's result and a comparison's say nothing of each other."""
    with pytest.raises(ValueError, match="in common"):
        compare(_bench(1.0), _comparison({"x": (1, 1, 1)}), tolerance=0.1)


def test_the_command_tells_and_fails_where_something_is_worse(tmp_path: Path) -> None:
    """Exit code 1 for a figure that is worse, 0 for none, 2 for a file that is no result."""
    good, bad, broken = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "broken.json"
    good.write_text(json.dumps(_bench(10.0)))
    bad.write_text(json.dumps(_bench(20.0)))
    broken.write_text("[")
    run = CliRunner().invoke
    worse = run(app, ["compare", str(good), str(bad), "--json"])
    assert worse.exit_code == 1
    assert json.loads(worse.stdout)["ok"] is False
    assert run(app, ["compare", str(bad), str(good)]).exit_code == 0
    assert "worse" in run(app, ["compare", str(good), str(bad)]).output
    assert run(app, ["compare", str(good), str(broken)]).exit_code == 2
    assert run(app, ["compare", str(good), str(tmp_path / "none.json")]).exit_code == 2

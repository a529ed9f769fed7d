"""`tickserve backfill`: windows are filled from a file, and nothing is predicted."""

from pathlib import Path

import grpc
import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import NEED, FakeService, rich_status

HEADER = "Time,Open,High,Low,Close,Volume\n"


@pytest.fixture
def csv(tmp_path: Path) -> str:
    """A file of 20 hourly bars."""
    lines = [f"02.01.2017 {hour:02}:00:00.000,1.{hour:02},2.0,0.5,1.5,{hour}\n" for hour in range(20)]
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + "".join(lines))
    return str(path)


def test_windows_are_filled_with_the_newest_bars(run: Run, service: FakeService, csv: str) -> None:
    """As many as a window needs, for each symbol, in one message each; no tick is sent."""
    service.answers_history = True
    outcome = run("backfill", "--file", csv, "--symbols", "12", "--json")
    assert outcome.code == 0
    summary = outcome.json["summary"]
    assert (summary["symbols"], summary["warm"], summary["bars"], summary["errors"]) == (12, 12, 12 * NEED, {})
    opening, *histories = service.received
    assert list(opening.open.symbols) == [f"EURUSD-{number:02}" for number in range(1, 13)]
    assert [message.history.symbol for message in histories] == list(opening.open.symbols)
    assert {message.history.bars[-1].start_time.ToJsonString() for message in histories} == {"2017-01-02T19:00:00Z"}


def test_the_summary_is_a_table(run: Run, service: FakeService, csv: str) -> None:
    """One symbol keeps its name; more bars may be asked for."""
    service.answers_history = True
    outcome = run("backfill", "--file", csv, "--symbol", "GBPUSD", "--bars", "7")
    assert outcome.code == 0
    assert "Summary" in outcome.out
    assert [(message.history.symbol, len(message.history.bars)) for message in service.received[1:]] == [("GBPUSD", 7)]


def test_a_refused_open_is_told(run: Run, service: FakeService, csv: str) -> None:
    """The reason is shown, and nothing hangs."""
    service.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
    outcome = run("backfill", "--file", csv)
    assert (outcome.code, "MODEL_LOADING" in outcome.err) == (1, True)


def test_a_bad_file_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    """The line that cannot be read is named."""
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + "nonsense,1,1,1,1,1\n")
    outcome = run("backfill", "--file", str(path))
    assert (outcome.code, "line 2" in outcome.err) == (2, True)

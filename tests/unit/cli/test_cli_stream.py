"""`tickserve stream`: a file of bars in, a live table and a summary out."""

import json
from pathlib import Path

import grpc
import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import NEED, FakeService, rich_status
from tickserve.cli.bar_file import read_bars
from tickserve.cli.tally import Pace, Tally

HEADER = "Time,Open,High,Low,Close,Volume\n"


@pytest.fixture
def csv(tmp_path: Path) -> str:
    """A file of 20 hourly bars."""
    lines = [f"02.01.2017 {hour:02}:00:00.000,1.{hour:02},2.0,0.5,1.5,{hour}\n" for hour in range(20)]
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + "".join(lines))
    return str(path)


def test_a_file_is_replayed(run: Run, service: FakeService, csv: str) -> None:
    """The first bars fill the window, the others are answered, and the summary counts them."""
    outcome = run("stream", "--csv", csv, "--speed", "max", "--limit", "0")
    assert outcome.code == 0
    assert "2017-01-02 19:00" in outcome.out
    assert "Summary" in outcome.out
    sent = [message.WhichOneof("message") for message in service.received]
    assert sent == ["open", "history", *["tick"] * (20 - NEED + 1)]
    ticks = [message.tick for message in service.received[2:]]
    assert [tick.sequence for tick in ticks] == list(range(1, len(ticks) + 1))
    assert ticks[0].bar.start_time.ToJsonString() == "2017-01-02T02:00:00Z"
    assert (ticks[0].bar.open_price, ticks[0].bar.volume) == (1.02, 2.0)


def test_json_is_a_line_an_event(run: Run, csv: str) -> None:
    """Programs get each event, and the summary last."""
    outcome = run("stream", "--csv", csv, "--speed", "max", "--limit", "4", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line.get("event") for line in lines] == ["Opened", *["TickPrediction"] * 4, None]
    summary = lines[-1]["summary"]
    assert (summary["history_bars"], summary["bars_sent"], summary["predictions"]) == (NEED - 1, 4, 4)
    assert summary["p99"] >= summary["p50"] > 0
    assert summary["errors"] == {}


def test_a_window_that_is_kept_is_not_overwritten_unasked(run: Run, service: FakeService, csv: str) -> None:
    """Old bars must not run into a live symbol's window; the remedy is named, and works."""
    service.state["EURUSD"] = (7, 3)
    refused = run("stream", "--csv", csv, "--speed", "max")
    assert (refused.code, "--reset" in refused.err) == (1, True)
    assert [message.WhichOneof("message") for message in service.received] == ["open"]
    service.received.clear()
    outcome = run("stream", "--csv", csv, "--speed", "max", "--reset", "--limit", "2")
    assert outcome.code == 0
    reset, history, *ticks = service.received[1:]
    assert (reset.tick.WhichOneof("event"), reset.tick.sequence) == ("reset", 8)
    assert len(history.history.bars) == NEED - 1
    assert [tick.tick.sequence for tick in ticks] == [9, 10]


@pytest.mark.parametrize("patience", ["0", "0.05"])
def test_a_stream_that_breaks_for_good_is_code_one(run: Run, service: FakeService, csv: str, patience: str) -> None:
    """The reason is shown, and nothing hangs."""
    service.end_ticks_with = rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_delay=1.0)
    outcome = run("stream", "--csv", csv, "--speed", "max", "--patience", patience)
    assert outcome.code == 1
    assert "DRAINING" in outcome.err


def test_a_file_is_replayed_as_many_symbols(run: Run, service: FakeService, csv: str) -> None:
    """Each symbol has its own window, its own numbers and all bars."""
    outcome = run("stream", "--csv", csv, "--speed", "max", "--symbols", "3", "--limit", "5", "--json")
    assert outcome.code == 0
    summary = outcome.json["summary"]
    assert (summary["bars_sent"], summary["predictions"], summary["history_bars"]) == (15, 15, 3 * (NEED - 1))
    assert (summary["gaps"], summary["reconnects"]) == (0, 0)
    ticks = [message.tick for message in service.received if message.WhichOneof("message") == "tick"]
    for symbol in ("EURUSD-1", "EURUSD-2", "EURUSD-3"):
        assert [tick.sequence for tick in ticks if tick.symbol == symbol] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (HEADER + "02.01.2017 00:00:00.000,1,1,1,1,1\nnonsense,1,1,1,1,1\n", "line 3"),
        (HEADER + "02.01.2017 00:00:00.000,1,1,1\n", "line 2"),
        ("Time,Open\n", "lacks High, Low, Close, Volume"),
        ("", "lacks Time"),
    ],
)
def test_a_bad_file_is_wrong_usage(run: Run, tmp_path: Path, content: str, complaint: str) -> None:
    """The line that cannot be read is named."""
    path = tmp_path / "bars.csv"
    path.write_text(content)
    outcome = run("stream", "--csv", str(path), "--speed", "max")
    assert outcome.code == 2
    assert complaint in outcome.err


def test_a_missing_file_is_wrong_usage(run: Run, service: FakeService) -> None:
    """Nothing is opened for a file that is not there."""
    assert run("stream", "--csv", "nowhere.csv").code == 2
    assert service.received == []


def test_a_speed_that_is_none_is_wrong_usage(run: Run, csv: str) -> None:
    """The three ways to write a speed are told."""
    outcome = run("stream", "--csv", csv, "--speed", "fast")
    assert outcome.code == 2
    assert "100x" in outcome.err


@pytest.mark.parametrize(("text", "delay"), [("max", 0.0), ("100", 36.0), ("100x", 36.0), ("50/s", 0.02)])
def test_a_speed_is_a_delay(text: str, delay: float) -> None:
    """A multiple of real time, bars a second, or no waiting at all."""
    assert Pace(text).delay(3600.0) == pytest.approx(delay)


@pytest.mark.parametrize("text", ["", "0", "-1", "0/s", "nan", "inf", "x", "1/m"])
def test_a_senseless_speed_is_refused(text: str) -> None:
    """No division by zero, no endless wait."""
    with pytest.raises(ValueError, match="speed"):
        Pace(text)


def test_percentiles_are_by_nearest_rank() -> None:
    """Every figure is a latency that was measured."""
    tally = Tally(latencies=[0.004, 0.001, 0.003, 0.002])
    assert (tally.percentile(0.0), tally.percentile(0.5), tally.percentile(0.99)) == (0.001, 0.003, 0.004)


def test_the_real_file_can_be_read() -> None:
    """The bars that the repository ships are of the kind that is read."""
    first = next(read_bars(Path(__file__).parents[3] / "data/eurusd_1h.csv"))
    assert first.start_time.isoformat() == "2017-01-01T22:00:00+00:00"
    assert (first.open, first.close) == (1.05236, 1.05227)

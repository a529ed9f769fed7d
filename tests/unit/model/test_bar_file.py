"""Laws of `model.bar_file`."""

from pathlib import Path

import pytest

from model.bar import Bar
from model.bar_file import common_interval, read_bars
from model.data_errors import BarFileError, NotEnoughBarsError

DATA = Path(__file__).parents[3] / "data" / "eurusd_1h.csv"
HEADER = "Time,Open,High,Low,Close,Volume\n"
FIRST = "01.01.2017 22:00:00.000,1.05236,1.05253,1.05221,1.05227,143539993.3\n"
SECOND = "01.01.2017 23:00:00.000,1.05227,1.05426,1.05226,1.05282,253139999.4\n"


def test_the_real_file_reads_whole() -> None:
    """The shipped file has 6 225 hourly bars from 2017-01-01 22:00 UTC."""
    bars = read_bars(DATA)
    assert len(bars) == 6225
    assert bars[0] == Bar(
        open_time=1483308000.0, open=1.05236, high=1.05253, low=1.05221, close=1.05227, volume=143539993.3
    )
    assert common_interval(bars) == 3600.0


def test_a_limit_reads_a_prefix() -> None:
    """A limit of n gives the first n bars."""
    assert read_bars(DATA, limit=7) == read_bars(DATA)[:7]


def test_column_order_extra_columns_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    """Columns are found by name, others and blank lines are ignored."""
    file = tmp_path / "bars.csv"
    file.write_text("Volume,Note,Close,Low,High,Open,Time\n5,x,1.2,1.0,1.3,1.1,02.01.1970 00:00:00.500\n\n")
    assert read_bars(file) == [Bar(open_time=86400.5, open=1.1, high=1.3, low=1.0, close=1.2, volume=5.0)]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty"),
        ("Time,Open,High,Low,Close\n", 1, "column Volume is missing"),
        (HEADER + FIRST + "01.01.2017 23:00:00.000,1.0\n", 3, "has 2 fields instead of 6"),
        (HEADER + FIRST + SECOND.replace("1.05426", "abc"), 3, "High 'abc' is not a number"),
        (HEADER + FIRST + SECOND.replace("1.05426", "nan"), 3, "high is nan; send a finite number"),
        (HEADER + FIRST + SECOND.replace("1.05426", "1.0"), 3, "high is 1.0; it must be at least"),
        (HEADER + FIRST.replace("01.01.2017", "2017-01-01"), 2, "is not dd.mm.yyyy HH:MM:SS.fff"),
        (HEADER + SECOND + FIRST, 3, "Time is not after the line before"),
        (HEADER + FIRST + FIRST, 3, "Time is not after the line before"),
    ],
)
def test_a_malformed_file_names_path_line_and_remedy(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    """A malformed file is refused with its path, the line at fault and what is wrong there."""
    file = tmp_path / "bars.csv"
    file.write_text(text)
    with pytest.raises(BarFileError) as caught:
        read_bars(file)
    assert caught.value.line == line
    assert str(file) in str(caught.value)
    assert words in str(caught.value)


def test_unreadable_files_are_typed(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are not text give the same typed error."""
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x80" * 10)
    for path in (tmp_path / "none.csv", tmp_path, binary):
        with pytest.raises(BarFileError, match="; "):
            read_bars(path)


def test_an_interval_needs_two_bars() -> None:
    """No interval is guessed from one bar."""
    with pytest.raises(NotEnoughBarsError):
        common_interval(read_bars(DATA, limit=1))

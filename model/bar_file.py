"""Reading bars from a CSV file.

Owns the file format: a header `Time,Open,High,Low,Close,Volume` (any order, more columns allowed), times
`dd.mm.yyyy HH:MM:SS.fff` in UTC, one bar a line, oldest first. Knows nothing of features.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, TextIO

from model.bar import Bar
from model.data_errors import BarFileError, InvalidBarError, NotEnoughBarsError

COLUMNS: Final = ("Time", "Open", "High", "Low", "Close", "Volume")
TIME_FORMAT: Final = "%d.%m.%Y %H:%M:%S.%f"


def read_bars(path: str | Path, *, limit: int | None = None) -> list[Bar]:
    """Reads the bars of a CSV file, oldest first.

    Args:
        path: The file, UTF-8.
        limit: Read at most this many bars; None reads all.

    Raises:
        BarFileError: The file is missing or unreadable, a column is missing, or a line is malformed, invalid or out
            of order; the message names the line.
    """
    bars: list[Bar] = []
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for line, bar in _parse(file, str(path)):
                if bars and bar.open_time <= bars[-1].open_time:
                    raise BarFileError(
                        str(path), line, "Time is not after the line before; sort the file, drop doubles"
                    )
                bars.append(bar)
                if len(bars) == limit:
                    break
    except OSError as error:
        raise BarFileError(str(path), None, f"cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise BarFileError(str(path), None, "is not UTF-8 text; export it as CSV in UTF-8") from error
    except csv.Error as error:
        raise BarFileError(str(path), None, f"is not CSV ({error}); export it as comma-separated text") from error
    return bars


def common_interval(bars: list[Bar]) -> float:
    """Returns the commonest distance between starts of neighbouring bars, in seconds; the smallest of equals.

    Raises:
        NotEnoughBarsError: There are fewer than two bars.
    """
    if len(bars) < 2:
        raise NotEnoughBarsError(len(bars), 2, "telling the bar interval")
    counts: dict[float, int] = {}
    for before, after in pairwise(bars):
        distance = after.open_time - before.open_time
        counts[distance] = counts.get(distance, 0) + 1
    return min(counts, key=lambda distance: (-counts[distance], distance))


def _parse(file: TextIO, path: str) -> Iterator[tuple[int, Bar]]:
    """Yields each line's number and bar."""
    rows = csv.reader(file)
    header = next(rows, None)
    if header is None:
        raise BarFileError(path, None, f"is empty; the first line must be {','.join(COLUMNS)}")
    names = [name.strip() for name in header]
    if missing := [name for name in COLUMNS if name not in names]:
        raise BarFileError(path, 1, f"column {missing[0]} is missing; the first line must be {','.join(COLUMNS)}")
    places = [names.index(name) for name in COLUMNS]
    for row in rows:
        line = rows.line_num
        if not row:  # a blank line, usually the last
            continue
        if len(row) != len(names):
            raise BarFileError(path, line, f"has {len(row)} fields instead of {len(names)}; correct or drop the line")
        texts = dict(zip(COLUMNS, (row[place].strip() for place in places), strict=True))
        try:
            bar = Bar(
                open_time=_time(texts["Time"], path, line),
                open=_number(texts, "Open", path, line),
                high=_number(texts, "High", path, line),
                low=_number(texts, "Low", path, line),
                close=_number(texts, "Close", path, line),
                volume=_number(texts, "Volume", path, line),
            )
        except InvalidBarError as error:
            raise BarFileError(path, line, str(error)) from error
        yield line, bar


def _number(texts: dict[str, str], column: str, path: str, line: int) -> float:
    try:
        return float(texts[column])
    except ValueError as error:
        raise BarFileError(path, line, f"{column} {texts[column]!r} is not a number; correct the field") from error


def _time(text: str, path: str, line: int) -> float:
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise BarFileError(path, line, f"Time {text!r} is not dd.mm.yyyy HH:MM:SS.fff; correct the field") from error

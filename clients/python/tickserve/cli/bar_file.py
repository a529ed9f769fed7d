"""Reads bars from CSV files of the usual kind."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tickserve.market import Bar

__all__ = ("read_bars",)

_COLUMNS = ("Time", "Open", "High", "Low", "Close", "Volume")
_TIME = "%d.%m.%Y %H:%M:%S.%f"


def read_bars(path: Path) -> Iterator[Bar]:
    """Yields the bars of a file with the columns Time (dd.mm.yyyy HH:MM:SS.fff, UTC, bar start), Open, ..., Volume.

    Raises:
        OSError: The file cannot be read.
        ValueError: It lacks a column, or a line cannot be understood; says which.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: needs the columns {', '.join(_COLUMNS)}; lacks {', '.join(missing)}")
        for row in rows:
            try:
                yield Bar(
                    start_time=datetime.strptime(row["Time"], _TIME).replace(tzinfo=UTC),
                    open=float(row["Open"]),
                    high=float(row["High"]),
                    low=float(row["Low"]),
                    close=float(row["Close"]),
                    volume=float(row["Volume"]),
                )
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {rows.line_num}: {error}") from error

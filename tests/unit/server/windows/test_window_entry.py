"""Laws of the stored form of a window's parts: bit for bit there and back, and damage is always found."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.bar import Bar
from server.windows.closed_row import ClosedRow
from server.windows.window_entry import WindowEntry, WindowStateError
from server.windows.window_head import FeedKind, WindowHead

BAR = Bar(open_time=1.5e9, open=1.1, high=1.3, low=1.0, close=1.2, volume=7.0)
ROW = np.linspace(-10, 10, 50, dtype=np.float32)
ROW_OF_OTHERS = np.array([0.1, -0.0], np.float32)
BIG = 2**63 - 1


def entry(*, bar: Bar | None = BAR, row: NDArray[np.float32] | None = ROW, time: float | None = 1.5e9) -> WindowEntry:
    """Returns an entry."""
    return WindowEntry(sequence=BIG, first_sequence=BIG - 1, as_of_time=time, bar=bar, row=row, live=bar is None)


def head(**changes: object) -> WindowHead:
    """Returns a head."""
    lost = ClosedRow(sequence=5, first_sequence=4, as_of_time=None, row_number=77)
    fields: dict[str, object] = {
        "revision": BIG,
        "sequence": BIG,
        "feed": FeedKind.TRADES,
        "row_count": 123,
        "bar_count": 61,
        "reset_count": 3,
        "as_of_time": 1.5e9,
        "lost": lost,
        "open_bars": b"bars",
    }
    return WindowHead(**(fields | changes))  # type: ignore[arg-type]  # a mapping of what it takes


@pytest.mark.parametrize("time", [None, -1.25, 0.0])
@pytest.mark.parametrize("row", [None, ROW, ROW_OF_OTHERS])
@pytest.mark.parametrize("bar", [None, BAR])
def test_an_entry_comes_back_bit_for_bit(bar: Bar | None, row: NDArray[np.float32] | None, time: float | None) -> None:
    """Every combination of parts survives; a row that came back cannot be written to."""
    stored = entry(bar=bar, row=row, time=time)
    back = WindowEntry.from_bytes(stored.to_bytes())
    assert (back.sequence, back.first_sequence, back.as_of_time) == (BIG, BIG - 1, time)
    assert (back.bar, back.live) == (bar, bar is None)
    assert (back.row is None) == (row is None)
    if row is not None and back.row is not None:
        assert back.row.tobytes() == row.tobytes()
        assert not back.row.flags.writeable
    assert back.to_bytes() == stored.to_bytes()


def test_an_entry_is_small() -> None:
    """A bar and its 50 features take 280 bytes."""
    assert len(entry().to_bytes()) == 280


@pytest.mark.parametrize("changes", [{}, {"lost": None}, {"as_of_time": None}, {"open_bars": b""}])
def test_a_head_comes_back(changes: dict[str, object]) -> None:
    """Every field survives."""
    stored = head(**changes)
    assert WindowHead.from_bytes(stored.to_bytes()) == stored


@pytest.mark.parametrize("kind", [WindowEntry, WindowHead])
def test_any_damage_is_found(kind: type[WindowEntry] | type[WindowHead]) -> None:
    """No byte can change, go missing or be added without a typed error; another version is named."""
    good = entry().to_bytes() if kind is WindowEntry else head().to_bytes()
    damaged = [good[:cut] for cut in range(len(good))] + [good + b"\0", b"\0" + good]
    damaged += [good[:i] + bytes([good[i] ^ bit]) + good[i + 1 :] for i in range(len(good)) for bit in (1, 128)]
    for bad in damaged:
        with pytest.raises(WindowStateError):
            kind.from_bytes(bad)
    with pytest.raises(WindowStateError, match="version 9, not 1"):
        kind.from_bytes(b"\x09" + good[1:])

"""Counters of tick streams, whose numbers callers choose."""

from server.ticks.tick_counters import TickCounters


def test_missing_numbers_add_up() -> None:
    """Gap by gap."""
    counters = TickCounters()
    counters.note_missing(3)
    counters.note_missing(4)
    assert counters.missing == 7


def test_no_gap_makes_a_number_that_cannot_be_told() -> None:
    """Two jumps to the end of the sequence numbers are more than an int64 holds; statistics are read by everybody."""
    counters = TickCounters()
    counters.note_missing(2**63 - 3)
    counters.note_missing(2**63 - 3)
    assert counters.missing == 2**63 - 1

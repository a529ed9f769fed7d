"""Laws of the clock of spans: one offset for all, the tightest reading, followed when somebody sets the clock."""

from collections.abc import Iterator

from server.telemetry.wall_clock import WallClock, wall_ns


class Clocks:
    """Two clocks that a test moves; each reading of the monotonic one takes as long as the test says."""

    def __init__(self, *delays: int) -> None:
        self.now = 5_000
        self.ahead = 1_700_000_000_000_000_000
        self._delays: Iterator[int] = iter(delays)

    def monotonic(self) -> int:
        """Nanoseconds."""
        self.now += next(self._delays, 0)
        return self.now

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return self.now + self.ahead


def test_the_tightest_reading_counts() -> None:
    """A reading during which the thread was interrupted would shift every span by half of that."""
    clocks = Clocks(0, 0, 8_000_000, 0, 20, 0, 4_000_000)
    clock = WallClock(clocks.monotonic, clocks.wall)
    assert clock.offset() == clocks.ahead - 10


def test_the_offset_is_kept_and_then_read_anew() -> None:
    """Spans of one request agree; somebody who sets the clock is believed within seconds."""
    clocks = Clocks()
    clock = WallClock(clocks.monotonic, clocks.wall)
    first = clock.offset()
    clocks.ahead += 3_600_000_000_000
    clocks.now += 9_000_000_000
    assert clock.offset() == first
    clocks.now += 1_000_000_000
    assert clock.offset() == first + 3_600_000_000_000


def test_times_are_exact_to_the_nanosecond() -> None:
    """A float of seconds holds them for 100 days of uptime."""
    uptime = 100 * 86_400
    assert wall_ns(uptime + 1e-6, 7) - wall_ns(float(uptime), 7) in (999, 1000, 1001)
    assert wall_ns(1.5, 10) == 1_500_000_010

"""A segment: what is counted into it is there for others at once, and shows whether its writer lives."""

from array import array
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from server.telemetry.segment import Segment, SegmentReader

Series = dict[str, list[float]]


def read(path: Path) -> Series:
    """Returns what a segment holds."""
    with SegmentReader(path) as reader:
        return dict(reader.series())


@settings(max_examples=60, deadline=None)
@given(
    series=st.dictionaries(
        st.text(max_size=40), st.lists(st.floats(allow_nan=False), max_size=30), min_size=1, max_size=20
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, series: Series) -> None:
    """Any keys and numbers come back as they were, without the file being closed or flushed."""
    path = tmp_path_factory.mktemp("segments") / "a"
    segment = Segment(path)
    for key, values in series.items():
        segment.add(key, len(values))[:] = memoryview(array("d", values))
    assert read(path) == series
    segment.close()
    assert read(path) == series


def test_cells_stay_valid_when_the_file_grows(tmp_path: Path) -> None:
    """A series that was added first is counted into after thousands of others were."""
    segment = Segment(tmp_path / "a")
    first = segment.add("first", 1)
    others = [segment.add(f"other-{number}", 20) for number in range(2000)]
    first[0] += 1
    others[-1][19] = 7.0
    found = read(tmp_path / "a")
    assert len(found) == 2001
    assert (found["first"], found["other-1999"][19]) == ([1.0], 7.0)
    segment.close()


def test_the_lock_tells_whether_the_writer_lives(tmp_path: Path) -> None:
    """A segment is locked from when it has its name until it is given up, and then even if its cells are still held."""
    segment = Segment(tmp_path / "a")
    cells = segment.add("key", 1)
    with SegmentReader(tmp_path / "a") as reader:
        assert reader.writer_lives
    segment.close()
    segment.close()
    with SegmentReader(tmp_path / "a") as reader:
        assert not reader.writer_lives
        with SegmentReader(tmp_path / "a") as other:
            assert other.writer_lives, "the one that came first holds it"
    cells[0] = 1.0


def test_a_segment_takes_no_other_ones_name(tmp_path: Path) -> None:
    """What another process is making under the same name stays untouched."""
    (tmp_path / ".a.new").write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        Segment(tmp_path / "a")
    assert (tmp_path / ".a.new").read_bytes() == b"another's"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("damage", [b"", b"x" * 8, b"another format, longer than a header"])
def test_other_files_are_empty_segments(tmp_path: Path, damage: bytes) -> None:
    """A file that no segment's writer made has no series."""
    (tmp_path / "a").write_bytes(damage)
    assert read(tmp_path / "a") == {}


@settings(max_examples=100, deadline=None)
@given(position=st.integers(8, 200), byte=st.integers(0, 255))
def test_damage_is_never_an_error(tmp_path_factory: pytest.TempPathFactory, position: int, byte: int) -> None:
    """One wrong byte anywhere costs series, perhaps, and raises nothing."""
    path = tmp_path_factory.mktemp("segments") / "a"
    segment = Segment(path)
    for number in range(5):
        segment.add(f"key {number}", 2)
    segment.close()
    data = bytearray(path.read_bytes())
    data[position] = byte
    path.write_bytes(data)
    assert len(read(path)) <= 5

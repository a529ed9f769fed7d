"""Laws of the files: bounded in size and number, for this user alone, whole records or none, and others' are safe."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from server.telemetry.decision_files import DecisionFiles, decision_files, number_of, replica_of

FRAME = b"x" * 100


@pytest.fixture
def opened() -> Iterator[list[DecisionFiles]]:
    """What a test opens, closed at its end."""
    files: list[DecisionFiles] = []
    yield files
    for each in files:
        each.close()


def files_of(
    folder: Path, opened: list[DecisionFiles], *, replica_id: str = "replica#1", **changes: Any
) -> DecisionFiles:
    """Returns a replica's files: three of 250 bytes."""
    values: dict[str, Any] = {"max_bytes": 250, "files": 3, "fsync": False}
    made = DecisionFiles(folder, replica_id=replica_id, **values | changes)
    opened.append(made)
    return made


def test_files_are_for_their_user_alone(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """So is the folder, which is made; the replica's id is in the name."""
    folder = tmp_path / "new" / "log"
    files_of(folder, opened).append(FRAME)
    [path] = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert path.name == "decisions-replica-1-000001.log"
    assert (replica_of(path), number_of(path)) == ("replica-1", 1)


def test_a_log_is_bounded(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """No file exceeds its size, no replica its number of files; the oldest go."""
    files = files_of(tmp_path, opened)
    for _ in range(20):
        files.append(FRAME)
    assert [number_of(path) for path in decision_files(tmp_path)] == [8, 9, 10]
    assert [path.stat().st_size for path in decision_files(tmp_path)] == [200, 200, 200]


def test_a_record_larger_than_a_file_has_one_of_its_own(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """Nothing is parted, nothing is refused for its size."""
    files = files_of(tmp_path, opened)
    for size in (100, 1000, 100):
        files.append(b"x" * size)
    assert [path.stat().st_size for path in decision_files(tmp_path)] == [100, 1000, 100]


def test_what_is_there_is_never_appended_to(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """A process that comes back under the same name begins another file: the old one's end may be torn."""
    for _ in range(2):
        files = files_of(tmp_path, opened)
        files.append(FRAME)
        files.close()
    assert [path.stat().st_size for path in decision_files(tmp_path)] == [100, 100]


def test_a_living_replicas_files_are_left_alone(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """However many it has; of those that are gone, only so many stay as one replica may have."""
    living = files_of(tmp_path, opened, replica_id="living", files=9)
    for _ in range(18):
        living.append(FRAME)
    for number in range(6):
        gone = files_of(tmp_path, opened, replica_id=f"gone-{number}")
        gone.append(FRAME)
        gone.close()
        os.utime(tmp_path / f"decisions-gone-{number}-000001.log", (number, number))
    files_of(tmp_path, opened, replica_id="new").append(FRAME)
    names = [replica_of(path) for path in decision_files(tmp_path)]
    assert names.count("living") == 9
    assert [name for name in names if name.startswith("gone")] == ["gone-3", "gone-4", "gone-5"]
    assert names.count("new") == 1


def test_other_files_in_the_folder_are_nobodys(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """They are neither read nor deleted; a link in the place of a file is not followed."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "decisions-replica-1-000001.log").symlink_to(tmp_path / "notes.txt")
    files = files_of(tmp_path, opened)
    for _ in range(20):
        files.append(FRAME)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def full_after(count: int) -> Any:
    """Returns a write that takes so many bytes, and then finds the disk full."""
    left = [count]
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(left[0], len(data))
        left[0] -= taken
        return real(descriptor, bytes(data[:taken]))

    return mock.patch("os.write", write)


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """What was begun is cut off; when there is room again, the record follows the one before."""
    files = files_of(tmp_path, opened)
    with full_after(150):
        files.append(FRAME)
        with pytest.raises(OSError, match="No space left"):
            files.append(FRAME)
    [path] = decision_files(tmp_path)
    assert path.stat().st_size == 100
    files.append(FRAME)
    assert [path.stat().st_size for path in decision_files(tmp_path)] == [200]


def test_a_file_that_cannot_be_cut_is_not_gone_on_with(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """The next record begins another one."""
    files = files_of(tmp_path, opened)
    with full_after(150), mock.patch("os.ftruncate", side_effect=OSError(errno.EIO, "I/O error")):
        files.append(FRAME)
        with pytest.raises(OSError, match="No space left"):
            files.append(FRAME)
    files.append(FRAME)
    assert [path.stat().st_size for path in decision_files(tmp_path)] == [150, 100]


def test_fsync_is_asked_for_and_a_failure_is_told(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """After one the next record begins another file: what the disk has of this one is unknown."""
    files = files_of(tmp_path, opened, fsync=True)
    files.append(FRAME)
    with mock.patch("os.fsync") as sync:
        files.sync()
    assert sync.call_count == 1
    with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "I/O error")), pytest.raises(OSError, match="I/O"):
        files.sync()
    files.append(FRAME)
    assert len(decision_files(tmp_path)) == 2
    careless = files_of(tmp_path, opened, replica_id="careless")
    careless.append(FRAME)
    with mock.patch("os.fsync") as sync:
        careless.sync()
    assert sync.call_count == 0


def test_a_folder_that_cannot_be_made_is_an_error_of_the_disk(tmp_path: Path, opened: list[DecisionFiles]) -> None:
    """Whoever writes may try again."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        files_of(tmp_path / "file" / "log", opened).append(FRAME)

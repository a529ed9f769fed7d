"""The committed Python stubs are what the contract generates, and the check that says so can fail."""

import shutil
from pathlib import Path

from scripts.protos import PACKAGE, STUBS, drift


def copy_of_the_stubs(target: Path) -> Path:
    """Copies the committed stubs below `target`."""
    shutil.copytree(STUBS / PACKAGE, target / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_the_committed_stubs_match_the_contract() -> None:
    """Generating the stubs anew changes nothing."""
    assert drift() == []


def test_an_edited_stub_is_drift(tmp_path: Path) -> None:
    """A stub changed by hand is named."""
    stubs = copy_of_the_stubs(tmp_path)
    edited = stubs / PACKAGE / "window_pb2.pyi"
    edited.write_text(edited.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert drift(stubs) == ["differs: tickserve/v1/window_pb2.pyi"]


def test_missing_and_left_over_stubs_are_drift(tmp_path: Path) -> None:
    """A stub that was not committed is named, and so is one whose source is gone."""
    stubs = copy_of_the_stubs(tmp_path)
    (stubs / PACKAGE / "window_pb2.py").rename(stubs / PACKAGE / "pane_pb2.py")
    assert drift(stubs) == ["missing: tickserve/v1/window_pb2.py", "left over: tickserve/v1/pane_pb2.py"]

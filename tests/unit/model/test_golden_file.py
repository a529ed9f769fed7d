"""Laws of golden windows: read bit for bit, or refused by file and reason before memory is spent on them."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model import golden_file
from model.errors import ModelLoadError
from model.registry import Registry
from tests.support.tiny_model import CONFIG, NAME, WINDOWS, Trap, build, edit_config, folder, refusal


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version of one model, with golden windows; to be copied, not changed."""
    path = tmp_path_factory.mktemp("registry")
    Registry(path).save(NAME, build(), CONFIG, WINDOWS)
    return path


@pytest.fixture
def registry(saved: Path, tmp_path: Path) -> Registry:
    """A registry of this test's own."""
    return Registry(shutil.copytree(saved, tmp_path / "registry"))


def npy(array: NDArray[Any], *, version: tuple[int, int] = (1, 0)) -> bytes:
    """What numpy writes for an array, pickles included."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


def with_header(text: str, data: bytes = b"") -> bytes:
    """An .npy file with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def put_golden(registry: Registry, content: bytes) -> Path:
    """Put `content` in the golden windows' place, with nobody to vouch for it."""
    path = folder(registry) / "golden.npy"
    path.write_bytes(content)
    edit_config(registry, golden_sha256="")
    return path


def test_golden_windows_travel_with_their_version(registry: Registry) -> None:
    """They are loaded bit for bit, read-only, and their hash stands in the config; a version without has none."""
    loaded = registry.load(NAME)
    assert loaded.golden is not None
    assert np.array_equal(loaded.golden, WINDOWS)
    assert not loaded.golden.flags.writeable
    assert len(loaded.config.golden_sha256) == 64
    plain = registry.load(NAME, registry.save(NAME, build(), loaded.config))
    assert plain.golden is None
    assert plain.config.golden_sha256 == ""
    assert not (folder(registry, plain.version) / "golden.npy").exists()


def test_golden_windows_put_there_by_hand_are_taken(registry: Registry) -> None:
    """A file that no hash vouches for is checked for what it is and used."""
    put_golden(registry, npy(WINDOWS[::-1].copy()))
    golden = registry.load(NAME).golden
    assert golden is not None
    assert np.array_equal(golden, WINDOWS[::-1])


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(npy(WINDOWS + 1)), lambda path: path.unlink()])
def test_golden_windows_that_a_hash_vouches_for_are_those(registry: Registry, change: Callable[[Path], Any]) -> None:
    """Others in their place, or none, are refused."""
    path = folder(registry) / "golden.npy"
    change(path)
    assert refusal(registry).path == path


def test_pickled_objects_among_the_golden_windows_do_not_run(registry: Registry, tmp_path: Path) -> None:
    """An array of objects is refused by its header; nothing is unpickled."""
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    path = put_golden(registry, npy(trap))
    assert refusal(registry).path == path
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an .npy file"),
        (b"PK\x03\x04", "not an .npy file"),
        (npy(WINDOWS, version=(2, 0)), "format 1.0"),
        (npy(WINDOWS)[:50], "header"),
        (with_header("{'descr': '<f4'"), "header"),
        (with_header("["), "header"),
        (with_header("[" * 60_000), "header"),
        (with_header("[1]"), "header"),
        (with_header("__import__('os').getpid()"), "header"),
        (npy(WINDOWS)[:-4], "bytes of data"),
        (npy(WINDOWS) + b"1234", "bytes of data"),
        (npy(WINDOWS[:255]), "256"),
        (npy(WINDOWS[:, :49].copy()), "shape"),
        (npy(WINDOWS[0]), "shape"),
        (npy(WINDOWS.astype(np.float64)), "'<f8'"),
        (npy(WINDOWS.astype(">f4")), "'>f4'"),
        (npy(np.asfortranarray(WINDOWS)), "C order"),
        (npy(np.where(WINDOWS[3, 4, 5] == WINDOWS, np.nan, WINDOWS).astype(np.float32)), "non-finite"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**12, 50, 60)}"), "header"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 50, 60)}"), "bytes of data"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-256, 50, 60)}"), "shape"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (256.0, 50, 60)}"), "shape"),
    ],
)
def test_what_are_no_golden_windows_is_refused(registry: Registry, content: bytes, words: str) -> None:
    """Damaged, of another type, shape or layout, too few, or not finite: refused with the file and the reason."""
    path = put_golden(registry, content)
    error = refusal(registry)
    assert error.path == path
    assert words in error.reason


def test_golden_data_at_an_odd_address_is_read(registry: Registry) -> None:
    """A header of odd length, which numpy would not write, leaves the data unaligned: read all the same."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (256, 50, 60)} "
    put_golden(registry, with_header(header, WINDOWS.tobytes()))
    golden = registry.load(NAME).golden
    assert golden is not None
    assert golden.flags.aligned
    assert np.array_equal(golden, WINDOWS)


@pytest.mark.parametrize(
    "windows",
    [WINDOWS[:255], WINDOWS.astype(np.float64), WINDOWS[:, :, :59].copy(), WINDOWS * np.float32(np.inf)],
    ids=["few", "float64", "a step less", "infinite"],
)
def test_golden_windows_that_could_not_be_read_are_not_written(registry: Registry, windows: NDArray[Any]) -> None:
    """Saving refuses them and leaves no version."""
    with np.errstate(invalid="ignore"), pytest.raises(ModelLoadError, match=r"golden\.npy"):
        registry.save(NAME, build(), CONFIG, windows)
    assert registry.versions(NAME) == (1,)


def test_too_many_golden_windows_are_not_written(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a reader would take are refused before they are copied."""
    monkeypatch.setattr(golden_file, "MAX_GOLDEN_BYTES", WINDOWS.nbytes)
    with pytest.raises(ModelLoadError, match="more than"):
        registry.save(NAME, build(), CONFIG, WINDOWS)

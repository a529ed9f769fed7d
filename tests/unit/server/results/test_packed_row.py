"""Laws of an answer's bytes: they give it back bit by bit, hold no batch alive, and nothing else passes for them."""

import gc
import weakref

import numpy as np
import pytest

from model.outputs import OUTPUT_NAMES, OutputRow
from server.results.packed_row import pack, read, unpack
from tests.support.fakes import FakeEngine

CLASSES, REGRESSIONS = 3, 2


def row(first: float = 0.3) -> OutputRow:
    """Returns the second answer of a batch of four."""
    windows = np.full((4, 50, 60), first, np.float32)
    return FakeEngine().run(windows).row(1)


def same(one: OutputRow, other: OutputRow) -> bool:
    """Tells whether two answers agree in every bit."""
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in OUTPUT_NAMES)


def checked(data: bytes) -> OutputRow | None:
    """Reads bytes as the answer of a model with the usual heads."""
    return read(data, classes=CLASSES, regressions=REGRESSIONS)


def test_bytes_give_the_answer_back() -> None:
    """Neither way loses a bit, nor the order of the outputs."""
    answer = row()
    numbered = OutputRow(*(np.full(len(getattr(answer, name)), n, np.float32) for n, name in enumerate(OUTPUT_NAMES)))
    for one in (answer, numbered):
        assert same(unpack(pack(one)), one)
    found = checked(pack(answer))
    assert found is not None
    assert same(found, answer)


def test_bytes_are_small_and_hold_no_batch_alive() -> None:
    """A row is a view into its batch; what is kept of it is not."""
    windows = np.zeros((64, 50, 60), np.float32)
    outputs = FakeEngine().run(windows)
    batch = weakref.ref(outputs.features)
    kept = unpack(pack(outputs.row(3)))
    del outputs
    gc.collect()
    assert batch() is None
    assert len(pack(kept)) < 1200


def test_what_is_given_again_cannot_be_written_to() -> None:
    """All who get it share it."""
    kept = unpack(pack(row()))
    with pytest.raises(ValueError, match="read-only"):
        kept.features[0] = 1.0


@pytest.mark.parametrize("data", [b"", b"\0", b"OK", b"tsr\x01", b"\xff" * 1124, b"12345" * 300])
def test_foreign_bytes_are_no_answer(data: bytes) -> None:
    """Whatever lies under our keys."""
    assert checked(data) is None


def test_damaged_bytes_are_no_answer() -> None:
    """Every single byte counts: one flipped bit anywhere is noticed, and so is a byte too few or too many."""
    packed = pack(row())
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x10
        assert checked(bytes(damaged)) is None, place
    assert checked(packed[:-1]) is None
    assert checked(packed + b"\0") is None


def test_another_models_answer_is_none() -> None:
    """An answer with other classes or quantities cannot be written for this model."""
    packed = pack(row())
    assert read(packed, classes=CLASSES + 1, regressions=REGRESSIONS) is None
    assert read(packed, classes=CLASSES, regressions=REGRESSIONS - 1) is None


@pytest.mark.parametrize("name", OUTPUT_NAMES)
def test_numbers_that_no_engine_may_give_are_no_answer(name: str) -> None:
    """Well-formed bytes are not trusted either."""
    answer = row()
    spoilt = {field: getattr(answer, field).copy() for field in OUTPUT_NAMES}
    spoilt[name][0] = np.nan
    assert checked(pack(OutputRow(**spoilt))) is None

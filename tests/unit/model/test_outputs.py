"""Laws of a batch's answers: rows without copies, and faults found row by row."""

import dataclasses

import numpy as np
import pytest

from model.errors import OutputError
from model.outputs import OUTPUT_NAMES, ModelOutputs, concatenate


def outputs(count: int) -> ModelOutputs:
    """Valid answers to `count` windows."""
    thirds, fifths = np.full((count, 3), 1 / 3, np.float32), np.full((count, 5), 0.2, np.float32)
    pairs, features = np.full((count, 2), 1e-3, np.float32), np.zeros((count, 256), np.float32)
    return ModelOutputs(thirds, pairs, pairs, thirds, pairs, pairs, fifths, features)


def test_row_is_a_view_of_its_window() -> None:
    """A row shares memory with its batch and has every output once, by the same name."""
    batch = outputs(3)
    row = batch.row(2)
    assert tuple(field.name for field in dataclasses.fields(row)) == OUTPUT_NAMES
    for name in OUTPUT_NAMES:
        assert np.shares_memory(getattr(row, name), getattr(batch, name))
        assert np.array_equal(getattr(row, name), getattr(batch, name)[2])
    with pytest.raises(IndexError):
        batch.row(3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_probabilities", np.nan),
        ("class_probabilities", 0.5),
        ("class_probabilities", -1.0),
        ("ensemble_class_probabilities", np.inf),
        ("ensemble_weights", 0.1),
        ("regression_mean", np.inf),
        ("regression_standard_deviation", 0.0),
        ("ensemble_regression_standard_deviation", -1.0),
        ("features", np.nan),
    ],
)
def test_faults_are_found_by_row(name: str, value: float) -> None:
    """A number that is not finite, not normalised or not positive fails its own row and no other."""
    faulty = getattr(outputs(4), name).copy()
    faulty[2, 0] = value
    batch = dataclasses.replace(outputs(4), **{name: faulty})
    assert batch.valid_rows().tolist() == [True, True, False, True]
    with pytest.raises(OutputError) as caught:
        batch.check()
    assert caught.value.rows == (2,)


def test_valid_answers_pass() -> None:
    """Nothing is wrong with answers that are right."""
    outputs(4).check()


def test_lengths_must_agree() -> None:
    """A batch whose outputs differ in length is refused on construction."""
    with pytest.raises(ValueError, match="differ in length"):
        dataclasses.replace(outputs(4), features=np.zeros((3, 256), np.float32))


def test_concatenate_keeps_order() -> None:
    """Joined batches answer in the order they were given."""
    first, second = outputs(2), outputs(3)
    second.features[:] = 1
    joined = concatenate([first, second])
    assert len(joined) == 5
    assert joined.features[:, 0].tolist() == [0, 0, 1, 1, 1]

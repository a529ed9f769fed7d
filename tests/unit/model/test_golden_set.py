"""Laws of the golden set: real windows for every version that we can have some for, and a refusal for the others."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model.bar_file import read_bars
from model.errors import EngineError, QualityGateError
from model.feature_schema import SCHEMA_ID
from model.golden_set import BUNDLED_BARS, GoldenSet, bundled_windows, golden_windows
from model.model_config import NetworkConfig
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.verified_version import VerifiedVersion
from tests.support.registry import DATA, SMALL, make_config, real_windows


def version(network: NetworkConfig = SMALL, schema: str = SCHEMA_ID, own: int = 0) -> VerifiedVersion:
    """A version that brings `own` windows."""
    config = dataclasses.replace(make_config(), feature_schema=schema)
    object.__setattr__(config, "network", network)  # its normalisation need not fit here
    return VerifiedVersion(
        name="cnn_lstm",
        version=1,
        folder=Path("registry/cnn_lstm/1"),
        sha256="0" * 64,
        weights_bytes=1,
        config=config,
        golden=real_windows()[:own] if own else None,
    )


def answers(count: int) -> ModelOutputs:
    """Some answers, all different."""
    widths = (3, 2, 2, 3, 2, 2, 5, 256)
    return ModelOutputs(*(np.arange(count * n, dtype=np.float32).reshape(count, n) for n in widths))


def test_the_bundled_bars_are_the_last_of_the_data() -> None:
    """The very bars of data/eurusd_1h.csv, which its README tells of, as many as make 256 windows."""
    bars = read_bars(BUNDLED_BARS)
    assert bars == read_bars(DATA)[-375:]
    assert bundled_windows().shape == (256, 50, 60)
    assert not bundled_windows().flags.writeable


def test_a_version_of_our_features_needs_bring_none() -> None:
    """It is held to the bundled windows; to its own if it brings some."""
    assert golden_windows(version()) is bundled_windows()
    assert np.array_equal(golden_windows(version(own=300)), real_windows()[:300])
    assert golden_windows(version(schema="others-v1", own=300)).shape == (300, 50, 60)


@pytest.mark.parametrize(
    "refused", [version(schema="others-v1"), version(network=dataclasses.replace(SMALL, time_steps=30))]
)
def test_other_features_without_windows_are_refused(refused: VerifiedVersion) -> None:
    """The error says what to put where, and blames no engine."""
    with pytest.raises(QualityGateError, match=r"golden\.npy of at least 256") as raised:
        golden_windows(refused)
    assert raised.value.engine == ""
    assert raised.value.folder == refused.folder


def test_a_golden_set_in_a_file() -> None:
    """Comes back to the last bit."""
    golden = GoldenSet(
        windows=real_windows()[:256], expected=answers(256), target_deviation=np.array([1, 2], np.float32)
    )
    again = GoldenSet.from_files(golden.to_files())
    assert np.array_equal(again.windows, golden.windows)
    assert np.array_equal(again.target_deviation, golden.target_deviation)
    assert all(np.array_equal(getattr(again.expected, name), getattr(golden.expected, name)) for name in OUTPUT_NAMES)


@pytest.mark.parametrize("windows", [255, 300])
def test_a_file_of_too_few_or_unanswered_windows(windows: int) -> None:
    """Is none."""
    answered = GoldenSet(
        windows=real_windows()[:windows],
        expected=answers(min(windows, 299)),
        target_deviation=np.ones(2, np.float32),
    )
    with pytest.raises(EngineError, match="golden set"):
        GoldenSet.from_files(answered.to_files())


@pytest.mark.parametrize("files", [{}, {"golden.npz": b""}, {"golden.npz": b"PK\x03\x04 and no more"}])
def test_other_files_are_no_golden_set(files: dict[str, bytes]) -> None:
    """They are an EngineError, for somebody to make it again."""
    with pytest.raises(EngineError):
        GoldenSet.from_files(files)

"""Real windows with the eager network's answers to them: what an engine is held to. Knows no engine and no cache."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from model.dataset import load_windows
from model.errors import EngineError, QualityGateError
from model.feature_schema import SCHEMA_ID
from model.network import HybridNetwork
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.parity import MINIMUM_WINDOWS, eager_outputs
from model.verified_version import VerifiedVersion

# The last 375 hours of data/eurusd_1h.csv, which make 256 windows: a version of our own features need bring none.
BUNDLED_BARS: Final = Path(__file__).with_name("golden_bars.csv")
_FILE: Final = "golden.npz"
_REMEDY: Final = (
    f"put a golden.npy of at least {MINIMUM_WINDOWS} real windows, float32 [n, features, steps], beside its weights"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldenSet:
    """What an engine is held to.

    Attributes:
        windows: [n >= 256, f, t] raw, real.
        expected: The eager fp32 network's answers to them.
        target_deviation: [r] of the training targets, the unit of differences between regressions.
    """

    windows: NDArray[np.float32]
    expected: ModelOutputs
    target_deviation: NDArray[np.float32]

    @classmethod
    def from_network(cls, network: HybridNetwork, windows: NDArray[np.float32]) -> Self:
        """Ask the eager network, which this puts in evaluation mode; half a second of computing."""
        expected = eager_outputs(network, windows)
        return cls(windows=windows, expected=expected, target_deviation=network.target_deviation.numpy().copy())

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """What `to_files` gave.

        Raises:
            EngineError: It is something else.
        """
        try:
            with np.load(io.BytesIO(files[_FILE]), allow_pickle=False) as arrays:
                expected = ModelOutputs(*(arrays[name] for name in OUTPUT_NAMES))
                golden = cls(windows=arrays["windows"], expected=expected, target_deviation=arrays["target_deviation"])
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise EngineError(f"not a golden set: {error}") from error
        if not MINIMUM_WINDOWS <= len(golden.windows) == len(golden.expected):
            raise EngineError(f"a golden set of {len(golden.windows)} windows, {len(golden.expected)} answers")
        return golden

    def to_files(self) -> dict[str, bytes]:
        """All of it, by the name of its file."""
        buffer = io.BytesIO()
        arrays = {name: getattr(self.expected, name) for name in OUTPUT_NAMES}
        np.savez(buffer, windows=self.windows, target_deviation=self.target_deviation, **arrays)
        return {_FILE: buffer.getvalue()}


def golden_windows(verified: VerifiedVersion) -> NDArray[np.float32]:
    """The version's own windows if it brings some, else those of the bundled bars if it reads our features.

    Raises:
        QualityGateError: Neither; the version cannot be held to anything.
    """
    if verified.golden is not None:
        return verified.golden
    if verified.config.feature_schema != SCHEMA_ID:
        finding = f"its feature schema {verified.config.feature_schema!r} is not ours, {SCHEMA_ID!r}"
        raise QualityGateError(verified.folder, "", f"no real windows: {finding}, and it brings none", _REMEDY)
    windows = bundled_windows()
    if windows.shape[1:] != verified.shape:
        finding = f"the bundled ones are {list(windows.shape[1:])}, the version's {list(verified.shape)}"
        raise QualityGateError(verified.folder, "", f"no real windows of its shape: {finding}", _REMEDY)
    return windows


@cache
def bundled_windows() -> NDArray[np.float32]:
    """The windows of the bundled bars, read-only [256, 50, 60]."""
    windows = load_windows(BUNDLED_BARS)
    windows.setflags(write=False)
    return windows

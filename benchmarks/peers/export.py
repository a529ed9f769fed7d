"""The TorchScript file that all peers load: the network that tickserve itself traces, frozen, written once a run."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.load.plan import ExpectedModel
from model.dataset import load_windows
from model.registry import Registry
from model.torchscript_engine import trace_network

_WINDOWS = 256
_BARS = Path(__file__).resolve().parent.parent.parent / "data" / "eurusd_1h.csv"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a run is made of.

    Attributes:
        registry: Folder of the model registry that tickserve serves from.
        script: The TorchScript file.
        windows: .npy file with float32 [n, 50, 60] real windows.
        feature_schema: Of those windows.
        model: What every answer names.
        shape: Features and steps of a window.
        versions: Of the model, that a server which can keep several has ready from the start.
    """

    registry: Path
    script: Path
    windows: Path
    feature_schema: str
    model: ExpectedModel
    shape: tuple[int, int] = (50, 60)
    versions: tuple[int, ...] = ()


def prepare(
    folder: Path,
    *,
    registry: Path,
    name: str,
    windows: npt.NDArray[np.float32] | None = None,
    versions: Iterable[int] = (),
) -> Material:
    """Writes the TorchScript file and the windows of a run into `folder`.

    Args:
        folder: Exists; the caller removes it.
        registry: Has at least one version of the model.
        name: The model's name.
        windows: float32 [n, features, steps], as the model takes them; None: real ones.
        versions: That a server which can keep several has ready from the start.

    Raises:
        model.errors.ModelError: There is no such model, or it is damaged.
    """
    loaded = Registry(registry).load(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated", category=DeprecationWarning)
        frozen = torch.jit.freeze(trace_network(loaded.network))
        torch.jit.save(frozen, str(folder / "model.pt"))
    np.save(folder / "windows.npy", load_windows(_BARS, limit=_WINDOWS) if windows is None else windows)
    return Material(
        registry=registry.absolute(),
        script=folder / "model.pt",
        windows=folder / "windows.npy",
        feature_schema=loaded.config.feature_schema,
        model=ExpectedModel(name=loaded.name, version=loaded.version, sha256=loaded.sha256),
        shape=(loaded.config.network.feature_count, loaded.config.network.time_steps),
        versions=tuple(versions),
    )

"""The engine protocol and the choice of an engine. Knows what engines promise, not how any of them computes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.errors import EngineError, WindowError
from model.outputs import ModelOutputs
from model.registry import LoadedModel

EngineKind = Literal["auto", "eager", "torchscript", "openvino"]
Precision = Literal["fp32", "bf16"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfo:
    """What runs, where and why.

    Attributes:
        name: "eager", "torchscript" or "openvino".
        device: "cpu".
        precision: Of the products; normalisation, softmax and everything after the heads stay fp32.
        threads: How many compute one call, >= 1.
        reason: Why this engine and this precision, for people.
    """

    name: str
    device: str
    precision: Precision
    threads: int
    reason: str


class Engine(Protocol):
    """Computes batches of windows. One call at a time; any thread; batches of any size.

    The same batch always gets the same bits. A window gets the same answer, within `parity.TOLERANCES`, whatever it is
    batched with.
    """

    @property
    def info(self) -> EngineInfo:
        """What runs, where and why."""
        ...

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Compute [n >= 1, features, steps] raw windows, C-contiguous float32; blocks, with the GIL released.

        The answer owns its memory and `windows` is not kept, so the caller may reuse its buffer at once. Values are
        taken as they come: non-finite inputs give non-finite answers.

        Raises:
            WindowError: `windows` is not such an array.
        """
        ...

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Run each size twice, so that no request pays for what an engine prepares per size.

        Returns:
            Seconds that the second run of each size took.
        """
        ...


class Runs(Protocol):
    """The part of an engine that computes."""

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """See `Engine.run`."""
        ...


def time_warm_up(engine: Runs, shape: tuple[int, int], batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
    """Run each size twice on zeros of [size, *shape]; return the seconds of each second run."""
    seconds = {}
    for size in batch_sizes:
        windows = np.zeros((size, *shape), dtype=np.float32)
        engine.run(windows)
        begun = time.perf_counter()
        engine.run(windows)
        seconds[size] = time.perf_counter() - begun
    return seconds


def check_windows(windows: NDArray[np.float32], feature_count: int, time_steps: int) -> None:
    """Refuse what an engine cannot read in place.

    Raises:
        WindowError: Not C-contiguous float32 of shape [n >= 1, feature_count, time_steps].
    """
    shape = windows.shape
    if len(shape) != 3 or shape[0] < 1 or shape[1:] != (feature_count, time_steps):
        raise WindowError(f"windows are {list(shape)}, not [n >= 1, {feature_count}, {time_steps}]")
    if windows.dtype != np.float32 or not windows.flags.c_contiguous:
        layout = "C-contiguous" if windows.flags.c_contiguous else "strided"
        raise WindowError(f"windows are {layout} {windows.dtype}, not C-contiguous float32")


def create_engine(
    loaded_model: LoadedModel,
    kind: EngineKind = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 1,
) -> Engine:
    """Build the engine asked for; takes a second or so. "auto" is OpenVINO if it can be imported, else TorchScript.

    Precision "auto" is bf16 where engine and CPU have it, else fp32. The engines are imported here and not above, so
    that a process which never asks for OpenVINO never loads it.

    Raises:
        EngineError: Unknown kind or precision, no threads, an engine that is not installed or that cannot compute in
            this precision here, or a network that it computes wrongly.
    """
    if kind not in ("auto", "eager", "torchscript", "openvino"):
        raise EngineError(f"engine {kind!r} is none of auto, eager, torchscript, openvino")
    if precision not in ("auto", "fp32", "bf16"):
        raise EngineError(f"precision {precision!r} is none of auto, fp32, bf16")
    if threads < 1:
        raise EngineError(f"{threads} threads cannot compute")

    reason = "asked for"
    if kind == "eager":
        from model.eager_engine import EagerEngine

        return EagerEngine(loaded_model.network, precision=precision, threads=threads, reason=reason)
    if kind in ("auto", "openvino"):
        try:
            from model.openvino_engine import OpenVINOEngine
        except ImportError as error:
            if kind == "openvino":
                raise EngineError(f"OpenVINO cannot be imported: {error}") from error
            reason = f"auto: OpenVINO cannot be imported ({error})"
        else:
            why = "asked for" if kind == "openvino" else "auto: OpenVINO is installed and the fastest engine on a CPU"
            return OpenVINOEngine(loaded_model.network, precision=precision, threads=threads, reason=why)

    from model.torchscript_engine import TorchScriptEngine

    return TorchScriptEngine(loaded_model.network, precision=precision, threads=threads, reason=reason)

"""The engine protocol and the choice of an engine. Knows what engines promise, not how any of them computes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model.errors import EngineError, WindowError
from model.outputs import ModelOutputs
from model.registry import LoadedModel

if TYPE_CHECKING:  # they import this module
    from model.engine_plan import EnginePlan
    from model.network import HybridNetwork

EngineKind = Literal["auto", "eager", "torchscript", "openvino", "cuda"]
Precision = Literal["fp32", "bf16"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfo:
    """What runs, where and why.

    Attributes:
        name: "eager", "torchscript", "openvino" or "cuda".
        device: "cpu", or a GPU, such as "cuda:0".
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


@runtime_checkable
class StorableEngine(Engine, Protocol):
    """An engine that can be kept in files, and made of them without the network."""

    def to_files(self) -> dict[str, bytes]:
        """Content by name, for `restore_engine`."""
        ...


class Runs(Protocol):
    """The part of an engine that computes."""

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """See `Engine.run`."""
        ...


def time_warm_up(
    engine: Runs,
    shape: tuple[int, int],
    batch_sizes: tuple[int, ...],
    *,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[], None] = lambda: None,
) -> Mapping[int, float]:
    """Run each size twice on zeros of [size, *shape]; return the seconds of each second run.

    Args:
        engine: What runs.
        shape: Features and steps of a window.
        batch_sizes: Each >= 1.
        clock: Seconds, to time the runs with.
        pause: Called after each run; may wait, so that others compute.
    """
    seconds = {}
    for size in batch_sizes:
        windows = np.zeros((size, *shape), dtype=np.float32)
        engine.run(windows)
        pause()
        begun = clock()
        engine.run(windows)
        seconds[size] = clock() - begun
        pause()
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
    """Build the engine asked for; takes a second or so.

    "auto" is CUDA where there is a GPU, else OpenVINO if it can be imported, else TorchScript. Precision "auto" is bf16
    where engine and CPU have it, else fp32. Nothing here holds the engine to the network's answers on real windows:
    `model_loader.ModelLoader` does, and is what a service loads with.

    Raises:
        EngineError: Unknown kind or precision, no threads, an engine that is not installed or that cannot compute in
            this precision here, or a network that it computes wrongly.
    """
    from model.engine_plan import EngineChoice, plan_engines

    return build_engine(plan_engines(EngineChoice(kind, precision, threads))[0], loaded_model.network)


# The engines are imported where they are made, so that a process which never asks for OpenVINO never loads it.
def build_engine(plan: "EnginePlan", network: "HybridNetwork") -> Engine:
    """Build the engine that `plan` describes, from the network.

    Raises:
        EngineError: It cannot be built, or does not compute what the network does.
    """
    match plan.kind:
        case "openvino":
            from model.openvino_engine import OpenVINOEngine

            return OpenVINOEngine.from_network(network, plan)
        case "torchscript":
            from model.torchscript_engine import TorchScriptEngine

            return TorchScriptEngine.from_network(network, plan)
        case "eager":
            from model.eager_engine import EagerEngine

            return EagerEngine(network, plan)
        case "cuda":
            from model.cuda_engine import CudaEngine

            return CudaEngine.from_network(network, plan)


def restore_engine(plan: "EnginePlan", shape: tuple[int, int], files: Mapping[str, bytes]) -> StorableEngine:
    """Make the engine that `plan` describes of what `StorableEngine.to_files` gave; needs no network.

    Args:
        plan: That of the engine which was stored.
        shape: Features and steps of a window.
        files: Content by name. They are code: of trusted origin only.

    Raises:
        EngineError: They are of no such engine.
    """
    match plan.kind:
        case "openvino":
            from model.openvino_engine import OpenVINOEngine

            return OpenVINOEngine.from_files(files, shape, plan)
        case "torchscript":
            from model.torchscript_engine import TorchScriptEngine

            return TorchScriptEngine.from_files(files, shape, plan)
        case _:
            raise EngineError(f"the {plan.kind} engine is not kept in files")

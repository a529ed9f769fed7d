"""The OpenVINO engine for CPU hosts, converted from the very trace that the TorchScript engine runs.

The only module that imports openvino: it has to keep OpenVINO's telemetry out before that import.
"""

import platform
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

# On import openvino reports to Google Analytics unless a file in the home directory says not to. A trading service
# calls nobody it was not told to: without this package openvino uses its own silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None blocks an import

import openvino  # noqa: E402  # must follow the line above

from model.engine import check_windows, time_warm_up  # noqa: E402
from model.engine_plan import EnginePlan  # noqa: E402
from model.errors import EngineError  # noqa: E402
from model.network import HybridNetwork  # noqa: E402
from model.outputs import OUTPUT_NAMES, ModelOutputs  # noqa: E402
from model.torchscript_engine import trace_network  # noqa: E402

_BLOB_FILE: Final = "compiled.blob"
_INFO: Final = Path("/proc/cpuinfo")


class OpenVINOEngine:
    """One compiled model with one infer request, which computes in the thread that calls it.

    So whoever calls decides at what priority and on which CPUs the engine computes, and no time goes by in handing
    work to another thread: against `start_async` and `wait` that saves some 5 % of CPU at a batch of one.

    Args:
        compiled: Of one input [-1, f, t] and the outputs of `ModelOutputs`, in order.
        shape: Features and steps of a window.
        plan: What was built, and why.
    """

    def __init__(self, compiled: openvino.CompiledModel, shape: tuple[int, int], plan: EnginePlan) -> None:
        self._compiled = compiled
        self._shape = shape
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()  # the request's input and output buffers are one set
        self.info = plan.info

    @classmethod
    def from_network(cls, network: HybridNetwork, plan: EnginePlan) -> Self:
        """Trace, convert and compile `network`.

        Raises:
            EngineError: The trace is wrong, or OpenVINO cannot compile it.
        """
        shape = (network.config.feature_count, network.config.time_steps)
        try:
            converted = openvino.convert_model(trace_network(network), input=[-1, *shape])
            compiled = _core().compile_model(converted, "CPU", _properties(plan))
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile the network: {error}") from error
        return cls(compiled, shape, plan)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], shape: tuple[int, int], plan: EnginePlan) -> Self:
        """Import what `to_files` gave, for the same plan and kind of CPU: a quarter of the time of compiling.

        This is what OpenVINO's own cache (CACHE_DIR) does, but from bytes that the caller has checked: OpenVINO
        takes a blob with changed weights for a good one, and one of another precision too.

        Raises:
            EngineError: It cannot be imported.
        """
        try:
            # As bytes, which OpenVINO copies. Of a tensor it keeps the address, and not the tensor: 2026.4 computes
            # with, or crashes on, whatever lies there once the tensor is gone.
            compiled = _core().import_model(files[_BLOB_FILE], "CPU", _properties(plan))
        except (KeyError, RuntimeError) as error:
            raise EngineError(f"OpenVINO cannot import the compiled model: {error}") from error
        return cls(compiled, shape, plan)

    def to_files(self) -> dict[str, bytes]:
        """The compiled model, by the name of its file."""
        return {_BLOB_FILE: self._compiled.export_model().getvalue()}

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Compute [n, f, t] windows; see `Engine.run`."""
        check_windows(windows, *self._shape)
        if not windows.flags.writeable:
            windows = windows.copy()  # OpenVINO refuses to share read-only memory
        with self._lock:
            # `infer` without inputs takes what is set: neither it nor we copy the windows. It releases the GIL.
            self._request.set_input_tensor(openvino.Tensor(windows, shared_memory=True))
            outputs = self._request.infer(share_outputs=True)
            # Copies, since the next call writes into the same buffers.
            return ModelOutputs(*(outputs[i].copy() for i in range(len(OUTPUT_NAMES))))

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Run each size twice: OpenVINO prepares its kernels for a shape when it first meets it."""
        return time_warm_up(self, self._shape, batch_sizes)


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself, so that it is faster than fp32 and not slower."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_identity() -> str:
    """What a compiled model depends on in the CPU: its architecture and its instruction sets."""
    capabilities = sorted(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    flags = ""
    if _INFO.exists():  # Linux; elsewhere a cache is not shared between kinds of CPU
        lines = _INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return " ".join([platform.machine(), *capabilities, flags.partition(":")[2].strip()])


@cache
def _core() -> openvino.Core:
    """OpenVINO's one entry; it holds no state of ours, and making one loads its plugins."""
    return openvino.Core()


def _properties(plan: EnginePlan) -> dict[str, object]:
    return {
        "INFERENCE_PRECISION_HINT": "f32" if plan.precision == "fp32" else plan.precision,
        "INFERENCE_NUM_THREADS": plan.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # By default the computing thread is held on CPU 0, in every process: two replicas would share it (ADR 0008).
        "ENABLE_CPU_PINNING": False,
    }

"""The OpenVINO engine for CPU hosts, converted from the very trace that the TorchScript engine runs.

The only module that imports openvino: it has to keep OpenVINO's telemetry out before that import.
"""

import sys
import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# On import openvino reports to Google Analytics unless a file in the home directory says not to. A trading service
# calls nobody it was not told to: without this package openvino uses its own silent stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None blocks an import

import openvino  # noqa: E402  # must follow the line above

from model.engine import EngineInfo, Precision, PrecisionChoice, check_windows, time_warm_up  # noqa: E402
from model.errors import EngineError  # noqa: E402
from model.network import HybridNetwork  # noqa: E402
from model.outputs import OUTPUT_NAMES, ModelOutputs  # noqa: E402
from model.torchscript_engine import trace_network  # noqa: E402


class OpenVINOEngine:
    """One compiled model with one infer request: a latency stream that all threads work on."""

    def __init__(
        self, network: HybridNetwork, *, precision: PrecisionChoice = "auto", threads: int = 1, reason: str = ""
    ) -> None:
        core = openvino.Core()
        chosen, why = _choose_precision(core, precision)
        self._shape = (network.config.feature_count, network.config.time_steps)
        converted = openvino.convert_model(trace_network(network), input=[-1, *self._shape])
        properties = {
            "INFERENCE_PRECISION_HINT": "f32" if chosen == "fp32" else chosen,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._request = core.compile_model(converted, "CPU", properties).create_infer_request()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile the network: {error}") from error
        self._lock = threading.Lock()  # the request's input and output buffers are one set
        self.info = EngineInfo(
            name="openvino", device="cpu", precision=chosen, threads=threads, reason=f"{reason}; {why}".lstrip("; ")
        )

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Compute [n, f, t] windows; see `Engine.run`."""
        check_windows(windows, *self._shape)
        if not windows.flags.writeable:
            windows = windows.copy()  # OpenVINO refuses to share read-only memory
        with self._lock:
            self._request.set_input_tensor(openvino.Tensor(windows, shared_memory=True))
            # Not `infer()`: the two calls skip its copies and its dictionary. `wait` releases the GIL.
            self._request.start_async()
            self._request.wait()
            # Copies, since the next call writes into the same buffers.
            return ModelOutputs(*(self._request.get_output_tensor(i).data.copy() for i in range(len(OUTPUT_NAMES))))

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Run each size twice: OpenVINO prepares its kernels for a shape when it first meets it."""
        return time_warm_up(self, self._shape, batch_sizes)


def _choose_precision(core: openvino.Core, precision: PrecisionChoice) -> tuple[Precision, str]:
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and not has_bf16:
        raise EngineError("this CPU has no bf16: take precision auto or fp32")
    if precision == "fp32":
        return "fp32", "fp32: asked for"
    if precision == "bf16":
        return "bf16", "bf16: asked for"
    return ("bf16", "bf16: this CPU has it") if has_bf16 else ("fp32", "fp32: this CPU has no bf16")

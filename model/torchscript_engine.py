"""The TorchScript engine, and the traced network that other engines are converted from. fp32 on the CPU."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray

from model.engine import EngineInfo, PrecisionChoice
from model.errors import EngineError
from model.network import HybridNetwork, InferenceNetwork
from model.parity import TOLERANCES, compare, eager_outputs, tensors_to_outputs
from model.torch_engine import TorchEngine

# Two primes and the odd one out: a batch size that tracing baked into a shape shows at one of them.
_TRACE_BATCH_SIZE = 3
_CHECKED_BATCH_SIZES = (1, 2, 5)


def trace_network(network: HybridNetwork) -> torch.jit.ScriptModule:
    """Trace `network`'s inference, which puts it in evaluation mode, and check the trace against it.

    The trace takes batches of any size: [n, f, t] -> the tensors of `ModelOutputs` in order.

    Raises:
        EngineError: The trace answers other than the network, at some batch size.
    """
    inference = InferenceNetwork(network)
    windows = example_windows(network, max(_CHECKED_BATCH_SIZES))
    with warnings.catch_warnings(), torch.no_grad():
        # torch 2.13 advises torch.export; TorchScript is what runs without Python and what OpenVINO reads.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated", category=DeprecationWarning)
        # torch's LSTM asks about shapes that do not change; a tracer warning from our own code stays a warning.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.")  # type: ignore[attr-defined]  # public, not re-exported
        example = torch.from_numpy(windows[:_TRACE_BATCH_SIZE])
        traced: torch.jit.ScriptModule = torch.jit.trace(inference, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
    for size in _CHECKED_BATCH_SIZES:
        with torch.inference_mode():
            outputs = tensors_to_outputs(traced(torch.from_numpy(windows[:size])))
        expected = eager_outputs(network, windows[:size])
        differences = compare(outputs, expected, network.target_deviation.numpy(), TOLERANCES["fp32"])
        if not differences.passed:
            raise EngineError(f"the trace differs from the network at batch size {size}: {differences}")
    return traced


def example_windows(network: HybridNetwork, count: int) -> NDArray[np.float32]:
    """[count, f, t] random windows with the scale of the network's training features, always the same."""
    shape = (count, network.config.feature_count, network.config.time_steps)
    normalised = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    windows: NDArray[np.float32] = (normalised * network.feature_deviation + network.feature_mean).numpy()
    return windows


class TorchScriptEngine(TorchEngine):
    """The traced network, frozen, on the CPU's fp32 units."""

    def __init__(
        self, network: HybridNetwork, *, precision: PrecisionChoice = "auto", threads: int = 1, reason: str = ""
    ) -> None:
        if precision == "bf16":
            raise EngineError("the TorchScript engine computes in fp32 only: take OpenVINO for bf16")
        traced = trace_network(network)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated", category=DeprecationWarning)
            module = torch.jit.freeze(traced)
        info = EngineInfo(
            name="torchscript",
            device="cpu",
            precision="fp32",
            threads=threads,
            reason=f"{reason}; fp32: all that TorchScript does here".lstrip("; "),
        )
        super().__init__(module, (network.config.feature_count, network.config.time_steps), info)

"""The TorchScript engine, and the traced network that other engines are converted from. fp32 on the CPU."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from model.engine_plan import EnginePlan
from model.errors import EngineError
from model.folded_network import fold_network
from model.network import HybridNetwork
from model.parity import TOLERANCES, compare, eager_outputs, tensors_to_outputs
from model.torch_engine import TorchEngine

# Two primes and the odd one out: a batch size that tracing baked into a shape shows at one of them.
_TRACE_BATCH_SIZE = 3
_CHECKED_BATCH_SIZES = (1, 2, 5)
_MODULE_FILE: Final = "network.pt"


def trace_network(network: HybridNetwork) -> torch.jit.ScriptModule:
    """Trace `network`'s inference, which puts it in evaluation mode, and check the trace against it.

    The trace takes batches of any size: [n, f, t] -> the tensors of `ModelOutputs` in order.

    Raises:
        EngineError: The trace answers other than the network, at some batch size.
    """
    inference = fold_network(network)
    windows = example_windows(network, _TRACE_BATCH_SIZE)
    with _quiet(), torch.no_grad():
        # torch's LSTM asks about shapes that do not change; a tracer warning from our own code stays a warning.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.")  # type: ignore[attr-defined]  # public, not re-exported
        example = torch.from_numpy(windows)
        traced: torch.jit.ScriptModule = torch.jit.trace(inference, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
    check_module(traced, network, "trace")
    return traced


def check_module(module: torch.jit.ScriptModule, network: HybridNetwork, what: str) -> None:
    """Hold a module made of `network` to its answers, at several batch sizes.

    Raises:
        EngineError: It answers otherwise; `what` says in the message what it is.
    """
    windows = example_windows(network, max(_CHECKED_BATCH_SIZES))
    for size in _CHECKED_BATCH_SIZES:
        with torch.inference_mode():
            outputs = tensors_to_outputs(module(torch.from_numpy(windows[:size])))
        expected = eager_outputs(network, windows[:size])
        differences = compare(outputs, expected, network.target_deviation.numpy(), TOLERANCES["fp32"])
        if not differences.passed:
            raise EngineError(f"the {what} differs from the network at batch size {size}: {differences}")


def example_windows(network: HybridNetwork, count: int) -> NDArray[np.float32]:
    """[count, f, t] random windows with the scale of the network's training features, always the same."""
    shape = (count, network.config.feature_count, network.config.time_steps)
    normalised = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    windows: NDArray[np.float32] = (normalised * network.feature_deviation + network.feature_mean).numpy()
    return windows


class TorchScriptEngine(TorchEngine):
    """The traced network, frozen and optimised, on the CPU's fp32 units."""

    _module: torch.jit.ScriptModule

    @classmethod
    def from_network(cls, network: HybridNetwork, plan: EnginePlan) -> Self:
        """Trace, freeze and optimise `network`.

        Raises:
            EngineError: What comes out answers other than the network.
        """
        with _quiet():
            # Freezes first. Fuses little in this network, yet 2 to 5 % of the time at batches of 1, 8 and 64.
            module = torch.jit.optimize_for_inference(trace_network(network))
        check_module(module, network, "optimised trace")
        return cls(module, (network.config.feature_count, network.config.time_steps), plan.info)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], shape: tuple[int, int], plan: EnginePlan) -> Self:
        """Load what `to_files` gave. It is code, which runs: of trusted origin only.

        Raises:
            EngineError: It cannot be loaded.
        """
        try:
            with _quiet():
                module = torch.jit.load(io.BytesIO(files[_MODULE_FILE]), map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
        except (KeyError, RuntimeError, ValueError) as error:
            raise EngineError(f"not a TorchScript module: {str(error).strip().splitlines()[0]}") from error
        return cls(module, shape, plan.info)

    def to_files(self) -> dict[str, bytes]:
        """The module, by the name of its file."""
        buffer = io.BytesIO()
        with _quiet():
            torch.jit.save(self._module, buffer)
        return {_MODULE_FILE: buffer.getvalue()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch 2.13's advice to use torch.export: TorchScript is what runs without Python and OpenVINO reads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated", category=DeprecationWarning)
        yield

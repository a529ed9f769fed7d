"""The CUDA engine: the traced network on a stream of its own. It has never run on hardware, only on a fake device.

Settings, and why they are so:

- fp32 with TF32 off. TF32 keeps ten bits of a factor's fraction. Emulated on a trained network and 256 real windows it
  moved probabilities by 5e-5, regressions by 4e-4 of the target's deviation and features by 3e-3, where 1e-5, 1e-4 and
  1e-4 are allowed (`parity.TOLERANCES`); by nearly as much for convolutions and LSTMs alone.
- cuDNN's benchmark off and its deterministic kernels on. Batches come in every size from one up: each new one would be
  benchmarked while its requests wait, and two replicas might choose kernels that differ in the last bits.
- At most 0.8 of the device's memory: the rest is for the CUDA context, and for whoever else needs a little.
- Memory that torch keeps for later is given back after an out-of-memory error and when the caller says that it is idle,
  never beside a batch: giving back waits for the device, and taking anew is slow.

The first two are switches of the process, not of the engine, which is another reason not to choose them per version.
"""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self

import torch

from model.cuda_device import CudaDevice, TorchCudaDevice
from model.engine import EngineInfo, check_windows, time_warm_up
from model.engine_plan import EnginePlan
from model.errors import EngineError
from model.network import HybridNetwork
from model.outputs import FloatArray, ModelOutputs, concatenate
from model.parity import TOLERANCES, compare, eager_outputs
from model.torchscript_engine import example_windows, trace_network

MEMORY_SHARE: Final = 0.8
_CHECKED_BATCH_SIZES: Final = (1, 2, 5)

Module = Callable[[torch.Tensor], Sequence[torch.Tensor]]


class CudaEngine:
    """Runs a module on a GPU: pinned host memory, its own stream, device time by CUDA events.

    Args:
        module: On the device: [n, features, steps] -> the tensors of `ModelOutputs` in order.
        shape: Features and steps of a window.
        info: What runs, where and why.
        device: The GPU.
    """

    def __init__(self, module: Module, shape: tuple[int, int], info: EngineInfo, device: CudaDevice) -> None:
        self.info = info
        self.device_seconds = 0.0
        """What the last call took on the device, copies both ways included, by the device's own clock."""
        self._module = module
        self._shape = shape
        self._device = device
        self._stream = device.new_stream()
        self._begin, self._end = device.new_event(), device.new_event()
        self._input = torch.empty(0)
        self._outputs: list[torch.Tensor] = []
        self._lock = threading.Lock()  # there is one set of buffers

    @classmethod
    def from_network(cls, network: HybridNetwork, plan: EnginePlan, device: CudaDevice | None = None) -> Self:
        """Trace `network`, move the trace to the device and hold it to the network's answers.

        Args:
            network: Stays where it is, in evaluation mode.
            plan: In fp32; its threads are the host's, which has nothing to compute.
            device: None takes the first GPU.

        Raises:
            EngineError: No GPU, no memory on it, or other answers than the network's.
        """
        device = device or TorchCudaDevice()
        device.forbid_shortcuts()
        device.limit_memory(MEMORY_SHARE)
        name = str(device.torch_device)
        try:
            module = move_to(device.torch_device, frozen_trace(network))
            shape = (network.config.feature_count, network.config.time_steps)
            engine = cls(module, shape, replace(plan.info, device=name), device)
            engine._check(network)
        except torch.OutOfMemoryError as error:
            raise EngineError(f"{name} has no memory for the network: load fewer models, or free the GPU") from error
        return engine

    def run(self, windows: FloatArray) -> ModelOutputs:
        """Compute [n, f, t] windows; see `Engine.run`. A batch that does not fit is computed once more, in halves.

        Raises:
            WindowError: As `Engine.run`.
            EngineError: The halves do not fit into the device's memory either.
        """
        check_windows(windows, *self._shape)
        with self._lock:
            outputs = self._try(windows)
            if outputs is None:
                outputs = self._in_halves(windows)
            return outputs

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Run each size twice: the first run of a size loads kernels and takes memory."""
        return time_warm_up(self, self._shape, batch_sizes)

    def release_memory(self) -> bool:
        """Give memory that is kept for later batches back to the device. Call when no request waits.

        Returns:
            Whether it did; not beside a batch that is being computed.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._device.empty_cache()
        finally:
            self._lock.release()
        return True

    def _in_halves(self, windows: FloatArray) -> ModelOutputs:
        # The failed attempt's tensors went with its exception, so that the memory they held can be given back now.
        self._device.empty_cache()
        half = (len(windows) + 1) // 2
        parts, seconds = [], 0.0
        for part in (windows[:half], windows[half:]):
            if not len(part):  # of one window there is one half
                continue
            outputs = self._try(part)
            if outputs is None:
                self._device.empty_cache()
                raise EngineError(
                    f"{self.info.device} has no memory for {len(windows)} windows, nor for {len(part)} of them: lower "
                    "scheduler.max_batch_size, load fewer models, or free the GPU"
                )
            parts.append(outputs)
            seconds += self.device_seconds
        self.device_seconds = seconds
        return concatenate(parts)

    def _try(self, windows: FloatArray) -> ModelOutputs | None:
        """The answers; None where the device has not enough memory."""
        count = len(windows)
        device = self._device.torch_device
        try:
            if len(self._input) < count:
                self._input = self._device.pinned((_capacity(count), *self._shape))
            self._input.numpy()[:count] = windows
            with torch.inference_mode(), self._device.on(self._stream):
                self._begin.record(self._stream)
                answers = self._module(self._input[:count].to(device, non_blocking=True))
                kept = self._kept(answers, count)
                for buffer, answer in zip(kept, answers, strict=True):
                    buffer.copy_(answer, non_blocking=True)
                self._end.record(self._stream)
            self._end.synchronize()
        except torch.OutOfMemoryError:
            self._stream.synchronize()  # a copy from the buffer may be under way, and the next try writes into it
            return None
        self.device_seconds = self._begin.elapsed_time(self._end) / 1e3
        return ModelOutputs(*(buffer.numpy().copy() for buffer in kept))

    def _kept(self, answers: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
        """Pinned memory for the answers to a batch, [count, width] each."""
        if not self._outputs or len(self._outputs[0]) < count:
            rows = _capacity(count)
            self._outputs = [self._device.pinned((rows, *answer.shape[1:])) for answer in answers]
        return [buffer[:count] for buffer in self._outputs]

    def _check(self, network: HybridNetwork) -> None:
        windows = example_windows(network, max(_CHECKED_BATCH_SIZES))
        for size in _CHECKED_BATCH_SIZES:
            expected = eager_outputs(network, windows[:size])
            unit = network.target_deviation.numpy()
            differences = compare(self.run(windows[:size]), expected, unit, TOLERANCES[self.info.precision])
            if not differences.passed:
                raise EngineError(
                    f"{self.info.device} differs from the network at batch size {size}: {differences}; "
                    "take engine openvino or torchscript, and report GPU, driver and torch build"
                )


def frozen_trace(network: HybridNetwork) -> torch.jit.ScriptModule:
    """The network as one flat graph, its weights constants of it, on the CPU and not run yet."""
    with warnings.catch_warnings():
        # torch 2.13 advises torch.compile, which needs a compiler on every machine that serves.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated", category=DeprecationWarning)
        frozen: torch.jit.ScriptModule = torch.jit.freeze(trace_network(network))
    return frozen


def move_to(device: torch.device, frozen: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Move a frozen trace that has not run yet to `device`, in place.

    `ScriptModule.to` moves parameters; freezing made constants of them. A trace also has the device that it was made on
    written into it, where torch's LSTM makes its first state: moved naively it would mix devices at its first run.
    """
    graph: Any = frozen.graph  # torch declares no types for it
    for node in graph.findAllNodes("prim::Constant", recurse=True):
        kind = node.output().type().kind()
        if kind == "DeviceObjType":
            node.s_("value", str(device))
        elif kind == "TensorType" and "value" in node.attributeNames():
            tensor = node.t("value")
            if tensor.dim():  # a single number may stay: torch mixes it with tensors of any device
                node.t_("value", tensor.to(device))
    return frozen


def _capacity(count: int) -> int:
    """Rows to set aside for `count`: a power of two, so that growing batches do not pin anew each time."""
    return 1 << (count - 1).bit_length()

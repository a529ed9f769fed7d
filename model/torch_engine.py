"""What the engines that run a torch module have in common. Knows neither how the module was made nor why."""

from collections.abc import Callable, Mapping, Sequence

import torch

from model.engine import EngineInfo, check_windows, time_warm_up
from model.outputs import FloatArray, ModelOutputs
from model.parity import tensors_to_outputs


class TorchEngine:
    """Runs a torch module on the CPU.

    Args:
        module: [n, features, steps] -> the tensors of `ModelOutputs` in order.
        shape: Features and steps of a window.
        info: What runs, where and why.
    """

    def __init__(
        self, module: Callable[[torch.Tensor], Sequence[torch.Tensor]], shape: tuple[int, int], info: EngineInfo
    ) -> None:
        self._module = module
        self._shape = shape
        self.info = info

    def run(self, windows: FloatArray) -> ModelOutputs:
        """Compute [n, f, t] windows; see `Engine.run`."""
        check_windows(windows, *self._shape)
        if torch.get_num_threads() != self.info.threads:
            torch.set_num_threads(self.info.threads)  # OpenMP keeps this per calling thread: set it where it counts
        if not windows.flags.writeable:
            windows = windows.copy()  # torch warns of read-only memory that it might write to
        with torch.inference_mode():
            return tensors_to_outputs(self._module(torch.from_numpy(windows)))

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Run each size twice: TorchScript profiles its first run and optimises its second."""
        return time_warm_up(self, self._shape, batch_sizes)

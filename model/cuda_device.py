"""The few functions of torch.cuda that the CUDA engine uses, behind a protocol: so its logic runs without a GPU."""

from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import torch

from model.errors import EngineError


class CudaStream(Protocol):
    """A queue of work on the device."""

    def synchronize(self) -> None:
        """Wait, with the GIL released, until everything in it is done."""
        ...


class CudaEvent(Protocol):
    """A point in a stream, with its time."""

    def record(self, stream: Any, /) -> None:
        """Place it behind the stream's work so far."""
        ...

    def synchronize(self) -> None:
        """Wait, with the GIL released, until the stream has reached it."""
        ...

    def elapsed_time(self, end: Any, /) -> float:
        """Milliseconds of the device's own clock from here to `end`; both must have been reached."""
        ...


class CudaDevice(Protocol):
    """One GPU."""

    @property
    def torch_device(self) -> torch.device:
        """Where its tensors lie."""
        ...

    def limit_memory(self, share: float) -> None:
        """Bound what this process takes of the device's memory, in (0, 1]."""
        ...

    def forbid_shortcuts(self) -> None:
        """Compute in full fp32, the same way every time, in the whole process."""
        ...

    def new_stream(self) -> CudaStream:
        """A stream that waits for no other."""
        ...

    def on(self, stream: Any, /) -> AbstractContextManager[object]:
        """Within the context, work goes to `stream`."""
        ...

    def new_event(self) -> CudaEvent:
        """An event that takes the time."""
        ...

    def pinned(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Uninitialised float32 memory of the host that the device reads and writes by itself."""
        ...

    def empty_cache(self) -> None:
        """Give memory that torch keeps for later back to the device; waits for the device."""
        ...


class TorchCudaDevice:
    """A GPU through torch.cuda.

    Args:
        index: Among those that this process sees (CUDA_VISIBLE_DEVICES).

    Raises:
        EngineError: There is no such GPU; names the remedy.
    """

    def __init__(self, index: int = 0) -> None:
        if why := why_no_cuda(index):
            raise EngineError(why)
        self.torch_device = torch.device("cuda", index)

    def limit_memory(self, share: float) -> None:
        """See `CudaDevice.limit_memory`."""
        torch.cuda.set_per_process_memory_fraction(share, self.torch_device)

    def forbid_shortcuts(self) -> None:
        """See `CudaDevice.forbid_shortcuts`. The switches are torch's, and so the whole process's."""
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True

    def new_stream(self) -> CudaStream:
        """See `CudaDevice.new_stream`."""
        return cast("CudaStream", torch.cuda.Stream(self.torch_device))  # type: ignore[no-untyped-call]  # torch's

    def on(self, stream: CudaStream) -> AbstractContextManager[object]:
        """See `CudaDevice.on`."""
        return torch.cuda.stream(cast("torch.cuda.Stream", stream))

    def new_event(self) -> CudaEvent:
        """See `CudaDevice.new_event`. Waiting for it sleeps instead of spinning: the event loop needs the core."""
        return cast("CudaEvent", torch.cuda.Event(enable_timing=True, blocking=True))  # type: ignore[no-untyped-call]  # torch's

    def pinned(self, shape: tuple[int, ...]) -> torch.Tensor:
        """See `CudaDevice.pinned`."""
        return torch.empty(shape, dtype=torch.float32, pin_memory=True)

    def empty_cache(self) -> None:
        """See `CudaDevice.empty_cache`."""
        torch.cuda.empty_cache()


def why_no_cuda(index: int = 0) -> str:
    """Why GPU `index` cannot be used, with the remedy; empty if it can."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]  # torch's
        return (
            f"CUDA: torch {torch.__version__} was built without it; install a CUDA build with "
            'make setup TORCH_PIP_ARGS="--index-url ..." (README.md), or take engine auto, openvino or torchscript'
        )
    if not torch.cuda.is_available():
        return (
            "CUDA: torch sees no GPU; install its driver, let the process see it (CUDA_VISIBLE_DEVICES, nvidia-smi), "
            "or take engine auto, openvino or torchscript"
        )
    if index >= (count := torch.cuda.device_count()):
        return f"CUDA: there is no device {index} among the {count} that this process sees (CUDA_VISIBLE_DEVICES)"
    return ""

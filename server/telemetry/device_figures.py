"""How busy the process and the devices of its machine are: psutil for the CPU, NVML for GPUs where there are any.

Owns the reading; blocks for up to milliseconds, so it runs in a thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no types


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFigures:
    """One device, whoever uses it.

    Attributes:
        name: "cpu", or "gpu0" and so on in NVML's order.
        utilisation: Share of the time since the last reading that it was busy, 0 to 1.
        memory_bytes: In use.
    """

    name: str
    utilisation: float
    memory_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigures:
    """This process and its machine.

    Attributes:
        memory_bytes: Resident memory.
        cpu_seconds: User and system time so far, of all threads.
        devices: The machine's.
    """

    memory_bytes: int
    cpu_seconds: float
    devices: tuple[DeviceFigures, ...]


class ProcessProbe:
    """Reads them.

    Args:
        nvml: NVIDIA's library as `pynvml` binds it; None where it is not to be asked.
    """

    def __init__(self, nvml: Any = None) -> None:
        self._process = psutil.Process()
        # The first reading has none before it, and tells 0.
        psutil.cpu_percent()
        self._nvml = nvml
        self._gpus: list[Any] = []
        # Without a driver it raises; with one, the devices stay the same while the process lives.
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlInit()
                self._gpus = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    def read(self) -> ProcessFigures:
        """Returns the figures now. A GPU that does not answer is left out."""
        times = self._process.cpu_times()
        memory = psutil.virtual_memory()
        cpu = DeviceFigures(
            name="cpu", utilisation=psutil.cpu_percent() / 100, memory_bytes=memory.total - memory.available
        )
        return ProcessFigures(
            memory_bytes=self._process.memory_info().rss,
            cpu_seconds=times.user + times.system,
            devices=(cpu, *self._read_gpus()),
        )

    def _read_gpus(self) -> list[DeviceFigures]:
        figures = []
        for index, gpu in enumerate(self._gpus):
            with contextlib.suppress(self._nvml.NVMLError):
                figures.append(
                    DeviceFigures(
                        name=f"gpu{index}",
                        utilisation=self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
                        memory_bytes=self._nvml.nvmlDeviceGetMemoryInfo(gpu).used,
                    )
                )
        return figures


def process_probe() -> ProcessProbe:
    """Returns a probe that asks NVML, too, if its binding is there."""
    try:
        # Not at the top: a replica without the binding serves all the same.
        import pynvml  # type: ignore[import-untyped]  # has no types
    except ImportError:
        return ProcessProbe()
    return ProcessProbe(pynvml)

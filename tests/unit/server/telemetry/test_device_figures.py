"""What is read of the process, the CPU and GPUs, the latter from a stand-in for NVML."""

from types import SimpleNamespace
from typing import Any

from server.telemetry.device_figures import ProcessProbe, process_probe


class NVMLError(Exception):
    """Stands for NVML's own."""


def nvml(**functions: Any) -> SimpleNamespace:
    """Returns a library with two GPUs, the second of which does not answer; functions given replace its own."""

    def utilisation(gpu: int) -> SimpleNamespace:
        if gpu == 1:
            raise NVMLError
        return SimpleNamespace(gpu=75)

    working = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": utilisation,
        "nvmlDeviceGetMemoryInfo": lambda _gpu: SimpleNamespace(used=123),
    }
    return SimpleNamespace(**working | functions)


def test_process_and_cpu_are_read_without_gpus() -> None:
    """A process has memory and has used time; the machine's CPU is a device whose share lies between 0 and 1."""
    probe = ProcessProbe()
    figures = probe.read()
    assert figures.memory_bytes > 1_000_000
    assert figures.cpu_seconds > 0
    [cpu] = figures.devices
    assert cpu.name == "cpu"
    assert 0 <= cpu.utilisation <= 1
    assert cpu.memory_bytes > figures.memory_bytes / 2
    assert probe.read().cpu_seconds >= figures.cpu_seconds


def test_gpus_are_read_and_one_that_does_not_answer_is_left_out() -> None:
    """A GPU is named by its number; an error of one is no error of the others."""
    [_, gpu] = ProcessProbe(nvml()).read().devices
    assert (gpu.name, gpu.utilisation, gpu.memory_bytes) == ("gpu0", 0.75, 123)


def test_without_a_driver_there_is_the_cpu_alone() -> None:
    """The binding is installed everywhere; where there is no driver it says so when it is initialised."""

    def fail() -> None:
        raise NVMLError

    assert [device.name for device in ProcessProbe(nvml(nvmlInit=fail)).read().devices] == ["cpu"]
    assert process_probe().read().devices[0].name == "cpu"

"""A GPU made of CPU memory, for the CUDA engine: it notes what is asked of it, and runs out of memory when told to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch


class FakeStream:
    """Notes that it was waited for."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def synchronize(self) -> None:
        """Nothing is ever under way."""
        self._calls.append("stream.synchronize")


class FakeEvent:
    """Takes the time of a clock that ticks once each time it is read: a millisecond."""

    def __init__(self, device: "FakeDevice") -> None:
        self._device = device
        self.time = 0.0

    def record(self, stream: FakeStream) -> None:
        """Remember the time and whose stream it was."""
        assert stream is self._device.stream
        assert self._device.current is stream, "recorded outside of the stream"
        self._device.clock += 1.0
        self.time = self._device.clock
        self._device.calls.append("record")

    def synchronize(self) -> None:
        """Nothing is ever under way."""
        self._device.calls.append("event.synchronize")

    def elapsed_time(self, end: "FakeEvent") -> float:
        """Milliseconds."""
        return end.time - self.time


class FakeDevice:
    """A GPU made of CPU memory."""

    torch_device = torch.device("cpu")

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stream = FakeStream(self.calls)
        self.current: FakeStream | None = None
        self.clock = 0.0

    def limit_memory(self, share: float) -> None:
        """Note it."""
        self.calls.append(f"limit_memory({share})")

    def forbid_shortcuts(self) -> None:
        """Note it."""
        self.calls.append("forbid_shortcuts")

    def new_stream(self) -> FakeStream:
        """The one there is."""
        return self.stream

    @contextmanager
    def on(self, stream: FakeStream) -> Iterator[None]:
        """Note which stream work goes to."""
        self.current = stream
        try:
            yield
        finally:
            self.current = None

    def new_event(self) -> FakeEvent:
        """A new one."""
        return FakeEvent(self)

    def pinned(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Memory full of NaN, so that what is not written shows."""
        self.calls.append(f"pinned{shape}")
        return torch.full(shape, torch.nan)

    def empty_cache(self) -> None:
        """Note it."""
        self.calls.append("empty_cache")


class Memory:
    """A module that runs out of memory above so many windows, for so many times."""

    def __init__(
        self, module: Callable[[torch.Tensor], Sequence[torch.Tensor]], device: FakeDevice, windows: int, times: int
    ) -> None:
        self._module, self._device, self._windows, self.times = module, device, windows, times
        self.seen: list[int] = []

    def __call__(self, batch: torch.Tensor) -> Sequence[torch.Tensor]:
        """Compute, if it fits."""
        assert self._device.current is self._device.stream, "computed outside of the stream"
        self.seen.append(len(batch))
        if len(batch) > self._windows and self.times:
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._module(batch)

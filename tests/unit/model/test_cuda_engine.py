"""Laws of the CUDA engine, on a fake GPU: what it asks of the device and when, and what it does out of memory."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import cuda_device, engine_plan
from model.cuda_device import TorchCudaDevice, why_no_cuda
from model.cuda_engine import MEMORY_SHARE, CudaEngine, frozen_trace, move_to
from model.dataset import load_windows
from model.engine import EngineInfo, create_engine
from model.engine_plan import EngineChoice, EnginePlan, plan_engines
from model.errors import EngineError, WindowError
from model.network import HybridNetwork
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.parity import check_parity, tensors_to_outputs
from model.registry import LoadedModel
from tests.support.fake_cuda import FakeDevice, Memory
from tests.support.tiny_model import CONFIG, build

DATA = Path(__file__).parents[3] / "data" / "eurusd_1h.csv"
PLAN = EnginePlan(kind="cuda", precision="fp32", threads=1, reason="asked for")
SHAPE = (50, 60)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch: on a busy machine two spend their time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network() -> HybridNetwork:
    """Not to be changed."""
    torch.manual_seed(0)
    return build().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def module(network: HybridNetwork) -> torch.jit.ScriptModule:
    """Its trace."""
    return frozen_trace(network)


@pytest.fixture(scope="module")
def windows() -> NDArray[np.float32]:
    """256 real windows."""
    return load_windows(DATA, limit=256)


@pytest.fixture
def device() -> FakeDevice:
    """A GPU of this test's own."""
    return FakeDevice()


def limited(module: torch.jit.ScriptModule, device: FakeDevice, windows: int, times: int = 99) -> CudaEngine:
    """An engine whose device has memory for so many windows."""
    info = EngineInfo(name="cuda", device="cuda:0", precision="fp32", threads=1, reason="")
    return CudaEngine(Memory(module, device, windows, times), SHAPE, info, device)


def same(one: ModelOutputs, two: ModelOutputs) -> bool:
    """Whether two answers agree as closely as fp32 does in other batches."""
    return all(np.allclose(getattr(one, name), getattr(two, name), rtol=1e-4, atol=1e-6) for name in OUTPUT_NAMES)


def test_it_gives_the_eager_answers(network: HybridNetwork, device: FakeDevice, windows: NDArray[np.float32]) -> None:
    """Through the buffers and the moved trace, on 256 real windows, alone and in batches."""
    report = check_parity(CudaEngine.from_network(network, PLAN, device), network, windows)
    assert report.passed, str(report)


def test_the_device_is_prepared_before_anything_runs(network: HybridNetwork, device: FakeDevice) -> None:
    """Shortcuts off and memory bounded come first; info names the GPU."""
    engine = CudaEngine.from_network(network, PLAN, device)
    assert device.calls[:2] == ["forbid_shortcuts", f"limit_memory({MEMORY_SHARE})"]
    assert (engine.info.name, engine.info.device, engine.info.precision) == ("cuda", "cpu", "fp32")


def test_a_call_is_timed_on_its_stream_and_waited_for(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """Two events around the work, one wait, and the device's own time of it in seconds."""
    engine = limited(module, device, 64)
    engine.run(windows[:4])
    device.calls.clear()
    engine.run(windows[:4])
    assert device.calls == ["record", "record", "event.synchronize"]
    assert engine.device_seconds == pytest.approx(1e-3)


def test_pinned_memory_is_taken_in_powers_of_two(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """A batch larger than any before takes more, at most twice what it needs; a smaller one takes none."""
    engine = limited(module, device, 64)
    for size in (1, 5, 3, 8, 9):
        engine.run(windows[:size])
    rows = [int(call.removeprefix("pinned(").split(",")[0]) for call in device.calls if call.startswith("pinned")]
    assert rows == [1] * 9 + [8] * 9 + [16] * 9  # one for the windows, eight for the answers


def test_answers_and_windows_are_not_shared(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """An answer survives the next call; read-only windows, as of a message, are taken; nothing of theirs is kept."""
    engine = limited(module, device, 64)
    first = engine.run(windows[:2])
    kept = ModelOutputs(*(getattr(first, name).copy() for name in OUTPUT_NAMES))
    engine.run(windows[10:12] * 2)
    assert all(np.array_equal(getattr(first, name), getattr(kept, name)) for name in OUTPUT_NAMES)
    raw = np.frombuffer(windows[:2].tobytes(), dtype=np.float32).reshape(2, *SHAPE)
    assert same(engine.run(raw), first)
    with pytest.raises(WindowError):
        engine.run(windows[:2, :, ::2])


@pytest.mark.parametrize(("count", "halves"), [(8, [4, 4]), (7, [4, 3]), (2, [1, 1])])
def test_out_of_memory_is_retried_once_in_halves(
    module: torch.jit.ScriptModule,
    device: FakeDevice,
    windows: NDArray[np.float32],
    count: int,
    halves: list[int],
) -> None:
    """Memory is given back, after the device has stopped, and the halves' answers are the whole's, in order."""
    memory = Memory(module, device, (count + 1) // 2, 99)
    info = EngineInfo(name="cuda", device="cuda:0", precision="fp32", threads=1, reason="")
    engine = CudaEngine(memory, SHAPE, info, device)
    outputs = engine.run(windows[:count])
    assert memory.seen == [count, *halves]
    with torch.inference_mode():
        assert same(outputs, tensors_to_outputs(module(torch.from_numpy(windows[:count].copy()))))
    calls = [call for call in device.calls if not call.startswith("pinned")]
    assert calls[:3] == ["record", "stream.synchronize", "empty_cache"]
    assert calls.count("empty_cache") == 1
    assert engine.device_seconds == pytest.approx(2e-3)  # of both halves


def test_one_window_is_retried_once_as_it_is(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """It has no halves, but the memory given back may be what it needs."""
    engine = limited(module, device, 0, times=1)
    assert len(engine.run(windows[:1])) == 1


def test_when_the_halves_do_not_fit_either_the_batch_fails(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """With sizes and remedy; memory is given back, and the next batch that fits is computed."""
    engine = limited(module, device, 2)
    with pytest.raises(EngineError, match="no memory for 8 windows, nor for 4 of them: lower"):
        engine.run(windows[:8])
    assert device.calls[-1] == "empty_cache"
    assert len(engine.run(windows[:2])) == 2


def test_out_of_memory_while_copying_counts_too(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """A device that cannot even pin memory is out of it like any other."""
    engine = limited(module, device, 64)
    before, refused = device.pinned, [True]

    def pinned(shape: tuple[int, ...]) -> torch.Tensor:
        if refused.pop() if refused else False:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return before(shape)

    device.pinned = pinned  # type: ignore[method-assign]  # a fault put in
    assert len(engine.run(windows[:4])) == 4


def test_memory_is_given_back_when_idle_and_never_beside_a_batch(
    module: torch.jit.ScriptModule, device: FakeDevice, windows: NDArray[np.float32]
) -> None:
    """A call that runs keeps it; one that has ended does not."""
    running, go_on = threading.Event(), threading.Event()

    def slow(batch: torch.Tensor) -> Sequence[torch.Tensor]:
        running.set()
        assert go_on.wait(60)
        answers: Sequence[torch.Tensor] = module(batch)
        return answers

    info = EngineInfo(name="cuda", device="cuda:0", precision="fp32", threads=1, reason="")
    engine = CudaEngine(slow, SHAPE, info, device)
    thread = threading.Thread(target=engine.run, args=(windows[:2],))
    thread.start()
    assert running.wait(60)
    assert not engine.release_memory()
    go_on.set()
    thread.join()
    assert "empty_cache" not in device.calls
    assert engine.release_memory()
    assert device.calls[-1] == "empty_cache"


@pytest.mark.parametrize(("amount", "passes"), [(1e-6, True), (3e-5, False)])
def test_a_gpu_that_computes_otherwise_is_refused(
    network: HybridNetwork, device: FakeDevice, monkeypatch: pytest.MonkeyPatch, amount: float, passes: bool
) -> None:
    """Probabilities off by what TF32 costs are found out before the engine serves; by rounding, they pass."""

    def move(_: torch.device, frozen: torch.jit.ScriptModule) -> object:
        def module(batch: torch.Tensor) -> list[torch.Tensor]:
            probabilities, *others = frozen(batch)
            return [probabilities + amount, *others]

        return module

    monkeypatch.setattr("model.cuda_engine.move_to", move)
    if passes:
        CudaEngine.from_network(network, PLAN, device)
    else:
        with pytest.raises(EngineError, match="differs from the network"):
            CudaEngine.from_network(network, PLAN, device)


def test_a_gpu_without_memory_for_the_network_is_an_engine_error(
    network: HybridNetwork, device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told with the remedy, not with torch's traceback."""

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("model.cuda_engine.move_to", refuse)
    with pytest.raises(EngineError, match="no memory for the network: load fewer"):
        CudaEngine.from_network(network, PLAN, device)


def test_nothing_of_the_trace_stays_behind(network: HybridNetwork) -> None:
    """Every tensor and every device written into the trace moves: one left behind would fail at the first batch."""

    def places(frozen: torch.jit.ScriptModule) -> tuple[set[str], set[str]]:
        graph: Any = frozen.graph
        constants = graph.findAllNodes("prim::Constant", recurse=True)
        kinds = [(node.output().type().kind(), node) for node in constants]
        named = {node.s("value") for kind, node in kinds if kind == "DeviceObjType"}
        tensors = [node.t("value") for kind, node in kinds if kind == "TensorType" and "value" in node.attributeNames()]
        return named, {str(tensor.device) for tensor in tensors if tensor.dim()}

    frozen = frozen_trace(network)
    assert places(frozen) == ({"cpu"}, {"cpu"})
    assert places(move_to(torch.device("meta"), frozen)) == ({"meta"}, {"meta"})


def test_without_a_gpu_it_is_refused_with_the_remedy(network: HybridNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name on this machine, on a build without CUDA, without a driver, or beyond the GPUs there are."""
    loaded = LoadedModel(name="eurusd", version=1, sha256="0" * 64, config=CONFIG, network=network)
    for built, available, index, words in (
        (False, False, 0, "TORCH_PIP_ARGS"),
        (True, False, 0, "CUDA_VISIBLE_DEVICES"),
        (True, True, 2, "no device 2 among the 2"),
    ):
        monkeypatch.setattr("torch.backends.cuda.is_built", lambda built=built: built)
        monkeypatch.setattr("torch.cuda.is_available", lambda available=available: available)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert words in why_no_cuda(index)
        with pytest.raises(EngineError, match=words):
            TorchCudaDevice(index)
        if not index:
            with pytest.raises(EngineError, match=words):
                create_engine(loaded, "cuda")
    assert why_no_cuda(1) == ""


def test_auto_takes_the_gpu_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """First, with the CPU's engines behind it; not where bf16 is asked for, which it does not compute."""
    without = plan_engines(EngineChoice("auto", "auto", 1))
    assert {plan.kind for plan in without} <= {"openvino", "torchscript"}
    monkeypatch.setattr(engine_plan, "why_no_cuda", lambda: "")
    first, *rest = plan_engines(EngineChoice("auto", "auto", 1))
    assert (first.kind, first.precision, first.info.device) == ("cuda", "fp32", "cuda")
    assert "auto: there is a GPU" in first.reason
    assert tuple(rest) == without
    assert plan_engines(EngineChoice("openvino", "fp32", 1))[0].kind == "openvino"
    (asked,) = plan_engines(EngineChoice("cuda", "auto", 1))
    assert (asked.kind, asked.reason.split(";")[0]) == ("cuda", "asked for")
    with pytest.raises(EngineError, match="fp32 only"):
        plan_engines(EngineChoice("cuda", "bf16", 1))


def test_shortcuts_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real device turns off TF32 and cuDNN's benchmark and asks for deterministic kernels."""
    switches: tuple[tuple[Any, str, bool], ...] = (
        (torch.backends.cuda.matmul, "allow_tf32", False),
        (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cudnn, "benchmark", False),
        (torch.backends.cudnn, "deterministic", True),
    )
    before = [getattr(place, name) for place, name, _ in switches]
    monkeypatch.setattr(cuda_device, "why_no_cuda", lambda _: "")
    try:
        for place, name, wanted in switches:
            setattr(place, name, not wanted)
        TorchCudaDevice().forbid_shortcuts()
        assert [getattr(place, name) for place, name, _ in switches] == [wanted for *_, wanted in switches]
    finally:
        for (place, name, _), value in zip(switches, before, strict=True):
            setattr(place, name, value)

"""Laws of the engines: any of them gives the eager network's answers, and one that does not is found out."""

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.dataset import load_windows
from model.engine import Engine, EngineInfo, Precision, StorableEngine, create_engine, restore_engine, time_warm_up
from model.engine_plan import ConcreteKind, EngineChoice, EnginePlan, plan_engines
from model.errors import EngineError, WindowError
from model.model_config import ModelConfig, NetworkConfig, Normalisation
from model.network import HybridNetwork
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.parity import check_parity, eager_outputs
from model.registry import LoadedModel
from model.torchscript_engine import TorchScriptEngine, example_windows, trace_network

DATA = Path(__file__).parents[3] / "data" / "eurusd_1h.csv"
TINY = NetworkConfig(
    cnn_filters=4, attention_heads=2, projection=8, lstm_hidden=8, fusion=16, head_hidden=8, ensemble_hidden=4
)
TARGETS = Normalisation(mean=(1e-5, 2e-3), standard_deviation=(1e-3, 1e-3))


def exercise(network: HybridNetwork, windows: NDArray[np.float32]) -> HybridNetwork:
    """Give a fresh network, whose answers hardly vary, the spread of a trained one; in evaluation mode."""
    mean, deviation = windows.mean(axis=(0, 2)).tolist(), (windows.std(axis=(0, 2)) + 1e-6).tolist()
    network.set_normalisation(Normalisation(mean=mean, standard_deviation=deviation, clip=6.0), TARGETS)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    batch = torch.from_numpy(windows[::16].copy())
    labels = torch.arange(len(batch)) % len(network.config.class_labels)
    targets = torch.sin(torch.arange(len(batch)) * 1.7).unsqueeze(1).expand(-1, 2)
    network.train()
    for _ in range(6):
        outputs = network(batch)
        member_logits = outputs.ensemble_class_logits.flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(outputs.class_logits, labels)
        loss = loss + torch.nn.functional.cross_entropy(member_logits, labels.repeat_interleave(5))
        loss = loss + torch.nn.functional.mse_loss(outputs.regression_mean, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval().requires_grad_(False)


def loaded(network: HybridNetwork) -> LoadedModel:
    """`network` as the registry would hand it over."""
    features = Normalisation(mean=(0.0,) * 50, standard_deviation=(1.0,) * 50, clip=6.0)
    config = ModelConfig(
        network=network.config,
        feature_schema="bars50/1",
        bar_interval_seconds=3600,
        prediction_horizon=6,
        feature_normalisation=features,
        target_normalisation=TARGETS,
        class_thresholds=(-1e-4, 1e-4),
    )
    return LoadedModel(name="eurusd", version=1, sha256="0" * 64, config=config, network=network)


def plan(kind: ConcreteKind, precision: Precision = "fp32") -> EnginePlan:
    """One engine with one thread, built for no reason but the test."""
    return EnginePlan(kind=kind, precision=precision, threads=1, reason="a test")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch: on a busy machine two spend their time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def windows() -> NDArray[np.float32]:
    """256 windows of the real bars, spread over their first 2,700 hours."""
    every = load_windows(DATA, limit=2560)
    return np.ascontiguousarray(every[::10][:256])


@pytest.fixture(scope="module")
def network(windows: NDArray[np.float32]) -> HybridNetwork:
    """The default network after a few steps on real windows; not to be changed."""
    torch.manual_seed(0)
    return exercise(HybridNetwork(NetworkConfig()), windows)


@pytest.fixture(scope="module")
def tiny_network(windows: NDArray[np.float32]) -> HybridNetwork:
    """A tiny network of the same architecture; not to be changed."""
    torch.manual_seed(0)
    return exercise(HybridNetwork(TINY), windows)


@pytest.fixture(scope="module")
def tiny_engine(tiny_network: HybridNetwork) -> TorchScriptEngine:
    """A right engine for tests to break."""
    return TorchScriptEngine.from_network(tiny_network, plan("torchscript"))


@pytest.fixture(scope="module", params=["torchscript-fp32", "openvino-fp32", "openvino-bf16"])
def engine(request: pytest.FixtureRequest, network: HybridNetwork) -> Engine:
    """Each engine in each of its precisions, on the default network."""
    kind, precision = request.param.split("-")
    try:
        built = create_engine(loaded(network), kind, precision, threads=1)
    except EngineError as error:
        pytest.skip(str(error))  # no bf16 on this CPU
    built.warm_up((1, 64))
    return built


def same_bits(one: ModelOutputs, two: ModelOutputs) -> bool:
    """Whether two answers are equal to the last bit."""
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in OUTPUT_NAMES)


def test_engine_gives_the_eager_answers(
    engine: Engine, network: HybridNetwork, windows: NDArray[np.float32], record_property: Callable[[str, object], None]
) -> None:
    """On 256 real windows, alone and in batches, an engine is within the tolerance of its precision."""
    report = check_parity(engine, network, windows)
    record_property("parity", str(report))
    assert report.passed, str(report)
    assert report.window_count == 256


def test_same_window_same_bits_alone(engine: Engine, windows: NDArray[np.float32]) -> None:
    """A window alone gets bit-identical answers every time, whatever ran in between."""
    first = engine.run(windows[:1])
    engine.run(windows[:64])
    assert all(same_bits(first, engine.run(windows[:1])) for _ in range(5))


def test_any_batch_size(engine: Engine, windows: NDArray[np.float32]) -> None:
    """A batch size never warmed up gives as many finite, normalised rows as there are windows, of the right widths."""
    for size in (3, 100):
        outputs = engine.run(windows[:size])
        outputs.check()
        shapes = [getattr(outputs, name).shape for name in OUTPUT_NAMES]
        assert shapes == [(size, width) for width in (3, 2, 2, 3, 2, 2, 5, 256)]
        assert all(getattr(outputs, name).dtype == np.float32 for name in OUTPUT_NAMES)


def test_answers_and_windows_are_not_shared(engine: Engine, windows: NDArray[np.float32]) -> None:
    """An answer survives the next call and the reuse of its windows' memory."""
    buffer = windows[:2].copy()
    first = engine.run(buffer)
    kept = ModelOutputs(*(getattr(first, name).copy() for name in OUTPUT_NAMES))
    buffer[:] = 0
    engine.run(buffer)
    assert same_bits(first, kept)


def test_read_only_windows(engine: Engine, windows: NDArray[np.float32]) -> None:
    """Windows over the bytes of a message, which are read-only, are computed as any others."""
    raw = np.frombuffer(windows[:2].tobytes(), dtype=np.float32).reshape(2, 50, 60)
    assert same_bits(engine.run(raw), engine.run(windows[:2]))


def test_the_gil_is_released(engine: Engine, windows: NDArray[np.float32]) -> None:
    """Other Python threads go on while an engine computes."""
    finished = threading.Event()

    def compute() -> None:
        engine.run(windows[:64])
        finished.set()

    thread = threading.Thread(target=compute)
    thread.start()
    turns = 0
    while not finished.is_set():
        turns += 1
    thread.join()
    assert turns > 1000  # a held GIL leaves a turn or two before and after the call


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((50, 60), np.float32),
        np.zeros((0, 50, 60), np.float32),
        np.zeros((1, 60, 50), np.float32),
        np.zeros((1, 50, 61), np.float32),
        np.zeros((1, 50, 60), np.float64),
        np.zeros((1, 60, 50), np.float32).transpose(0, 2, 1),
        np.zeros((2, 50, 120), np.float32)[:, :, ::2],
    ],
    ids=["one axis short", "empty", "step-major", "a step more", "float64", "transposed", "strided"],
)
def test_wrong_windows_are_refused(tiny_engine: TorchScriptEngine, wrong: NDArray[np.float32]) -> None:
    """An array that could not be read in place is refused, never converted in silence."""
    with pytest.raises(WindowError):
        tiny_engine.run(wrong)


def test_openvino_refuses_wrong_windows_too(tiny_network: HybridNetwork, windows: NDArray[np.float32]) -> None:
    """OpenVINO is given nothing but what it can share; info says what was built and why."""
    engine = create_engine(loaded(tiny_network), "openvino", "fp32", threads=1)
    with pytest.raises(WindowError):
        engine.run(windows[:2, :, ::2])
    reason = "asked for; fp32: asked for"
    assert engine.info == EngineInfo(name="openvino", device="cpu", precision="fp32", threads=1, reason=reason)


def test_auto_takes_openvino_and_says_why(tiny_network: HybridNetwork) -> None:
    """On a CPU with OpenVINO installed auto is OpenVINO, in bf16 exactly where the CPU has it."""
    info = create_engine(loaded(tiny_network)).info
    assert info.name == "openvino"
    assert "auto" in info.reason
    assert ("this CPU has it" in info.reason) == (info.precision == "bf16")


def test_without_openvino(tiny_network: HybridNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenVINO cannot be imported auto is TorchScript and says why; asking for it by name is refused."""
    monkeypatch.setitem(sys.modules, "model.openvino_engine", None)
    info = create_engine(loaded(tiny_network)).info
    assert (info.name, info.precision) == ("torchscript", "fp32")
    assert "OpenVINO cannot be imported" in info.reason
    with pytest.raises(EngineError, match="cannot be imported"):
        create_engine(loaded(tiny_network), "openvino")


@pytest.mark.parametrize(
    "arguments",
    [{"kind": "tensorrt"}, {"precision": "int8"}, {"threads": 0}, {"kind": "torchscript", "precision": "bf16"}],
)
def test_impossible_engines_are_refused(tiny_network: HybridNetwork, arguments: dict[str, Any]) -> None:
    """An engine nobody has is an EngineError when it is asked for, not a surprise when it runs."""
    with pytest.raises(EngineError):
        create_engine(loaded(tiny_network), **arguments)


def test_auto_falls_back_to_fp32_and_no_other_choice_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who leaves the precision open gets another than the first; each says why it is what it is."""
    monkeypatch.setattr("model.openvino_engine.has_bf16", lambda: True)
    first, second = plan_engines(EngineChoice("openvino", "auto", 2))
    assert (first.precision, second.precision) == ("bf16", "fp32")
    assert "not close enough" in second.reason
    assert {first.threads, second.threads} == {2}
    for choice in (EngineChoice("openvino", "bf16"), EngineChoice("openvino", "fp32"), EngineChoice("torchscript")):
        assert len(plan_engines(choice)) == 1


def test_a_cpu_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto is fp32 there and says so; asking for bf16 is refused."""
    monkeypatch.setattr("model.openvino_engine.has_bf16", lambda: False)
    (only,) = plan_engines(EngineChoice())
    assert only.precision == "fp32"
    assert "no bf16" in only.reason
    with pytest.raises(EngineError, match="no bf16"):
        plan_engines(EngineChoice("auto", "bf16"))


@pytest.mark.parametrize("kind", ["torchscript", "openvino"])
def test_an_engine_made_of_its_files_is_the_same(
    tiny_network: HybridNetwork, windows: NDArray[np.float32], kind: ConcreteKind
) -> None:
    """It answers with the same bits, after the bytes that it was made of are gone and their memory is used again."""
    built = create_engine(loaded(tiny_network), kind, "fp32", threads=1)
    assert isinstance(built, StorableEngine)
    files = {name: bytes(bytearray(content)) for name, content in built.to_files().items()}
    size = max(map(len, files.values()))
    restored = restore_engine(plan(kind), (50, 60), files)
    files.clear()
    junk = [np.full(size, 4, np.uint8) for _ in range(4)]
    for count in (1, 7, 4, 64):
        assert same_bits(restored.run(windows[:count]), built.run(windows[:count]))
    assert len(junk) == 4
    assert restored.info.reason == "a test"


@pytest.mark.parametrize("kind", ["torchscript", "openvino"])
@pytest.mark.parametrize("content", [None, b"", b"no engine at all" * 100], ids=["missing", "empty", "other"])
def test_an_engine_is_not_made_of_anything_else(kind: ConcreteKind, content: bytes | None) -> None:
    """Files that hold no engine are an EngineError, for somebody to make it again."""
    name = {"torchscript": "network.pt", "openvino": "compiled.blob"}[kind]
    with pytest.raises(EngineError):
        restore_engine(plan(kind), (50, 60), {} if content is None else {name: content})


def test_the_eager_engine_is_not_made_of_files() -> None:
    """It is the network itself."""
    with pytest.raises(EngineError, match="not kept"):
        restore_engine(plan("eager"), (50, 60), {})


def test_openvino_computes_in_the_thread_that_calls(tiny_network: HybridNetwork, windows: NDArray[np.float32]) -> None:
    """So its priority and its CPUs are the caller's to choose: the CPU time that passes is this thread's."""
    engine = create_engine(loaded(tiny_network), "openvino", "fp32", threads=1)
    engine.warm_up((64,))
    in_thread, in_process = time.thread_time(), time.process_time()
    for _ in range(20):
        engine.run(windows[:64])
    assert time.thread_time() - in_thread > 0.5 * (time.process_time() - in_process)


def test_openvino_calls_nobody() -> None:
    """OpenVINO's telemetry package, which reports every import to Google Analytics, is kept out of the process."""
    assert sys.modules["openvino_telemetry"] is None


class Forgetful(HybridNetwork):
    """Answers its first call otherwise than all later ones, as a trace with a constant baked into it would."""

    calls = 0

    def encode(self, windows: torch.Tensor) -> torch.Tensor:
        """[n, f, t] -> [n, d], off by a tenth at the first call."""
        self.calls += 1
        return super().encode(windows) + 0.1 * (self.calls == 1)


def test_a_wrong_trace_is_refused(windows: NDArray[np.float32]) -> None:
    """A trace that answers otherwise than the network it was made of never becomes an engine."""
    with pytest.raises(EngineError, match="trace differs"):
        trace_network(Forgetful(TINY))


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_the_eager_engine_is_the_network(tiny_network: HybridNetwork, windows: NDArray[np.float32], size: int) -> None:
    """To the last bit of every output: it is what the others are held against."""
    engine = create_engine(loaded(tiny_network), "eager", threads=1)
    expected, answer = eager_outputs(tiny_network, windows[:size]), engine.run(windows[:size])
    for name in OUTPUT_NAMES:
        assert np.array_equal(getattr(answer, name), getattr(expected, name)), name


def test_the_eager_engine_says_what_it_is(tiny_network: HybridNetwork) -> None:
    """fp32 on the CPU with as many threads as asked for, and no other precision."""
    info = create_engine(loaded(tiny_network), "eager", threads=3).info
    assert (info.name, info.device, info.precision, info.threads) == ("eager", "cpu", "fp32", 3)
    with pytest.raises(EngineError, match="bf16"):
        create_engine(loaded(tiny_network), "eager", "bf16")


@pytest.mark.parametrize("kind", ["eager", "torchscript", "openvino"])
def test_a_warm_up_tells_what_each_size_takes(tiny_network: HybridNetwork, kind: Any) -> None:
    """Positive seconds for every size asked for and for no other; none asked for, none told."""
    engine = create_engine(loaded(tiny_network), kind, "fp32", threads=1)
    seconds = engine.warm_up((1, 2, 8))
    assert list(seconds) == [1, 2, 8]
    assert all(0.0 < value < float("inf") for value in seconds.values())
    assert not engine.warm_up(())


def test_a_warm_up_times_the_second_run() -> None:
    """The first run of a size, in which an engine prepares, does not count; each is of zeros of that size."""
    runs: list[tuple[int, ...]] = []

    class Recorder:
        """Remembers the shapes that it is run with."""

        def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
            """Answers nothing."""
            runs.append(windows.shape)
            assert not windows.any()
            return None  # type: ignore[return-value]  # nobody looks at it

    time_warm_up(Recorder(), (50, 60), (4, 1))
    assert runs == [(4, 50, 60), (4, 50, 60), (1, 50, 60), (1, 50, 60)]


class Broken:
    """An engine whose answers, or whose windows, are tampered with."""

    def __init__(
        self,
        engine: TorchScriptEngine,
        after: Callable[[ModelOutputs], ModelOutputs] = lambda outputs: outputs,
        before: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda windows: windows,
    ) -> None:
        self.info = engine.info
        self._engine, self._after, self._before = engine, after, before

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Compute, badly."""
        return self._after(self._engine.run(self._before(windows)))

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Nothing to prepare."""
        return dict.fromkeys(batch_sizes, 1.0)


def shifted(name: str, amount: float) -> Callable[[ModelOutputs], ModelOutputs]:
    """Add `amount` to one output."""
    return lambda outputs: dataclasses.replace(outputs, **{name: getattr(outputs, name) + np.float32(amount)})


def rolled(outputs: ModelOutputs) -> ModelOutputs:
    """Give every window its neighbour's answer."""
    return ModelOutputs(*(np.roll(getattr(outputs, name), 1, axis=0) for name in OUTPUT_NAMES))


def leaked(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix a little of each window into the next of its batch."""
    return np.ascontiguousarray(windows + np.float32(1e-2) * np.roll(windows, 1, axis=0))


@pytest.mark.parametrize(
    "broken",
    [
        {"after": shifted("class_probabilities", 3e-5)},
        {"after": shifted("ensemble_class_probabilities", 3e-5)},
        {"after": shifted("ensemble_weights", 3e-5)},
        {"after": shifted("regression_mean", 2e-4 * 1e-3)},
        {"after": shifted("regression_standard_deviation", 2e-4 * 1e-3)},
        {"after": shifted("ensemble_regression_mean", 2e-4 * 1e-3)},
        {"after": shifted("ensemble_regression_standard_deviation", 2e-4 * 1e-3)},
        {"after": shifted("features", 1e-3)},
        {"after": shifted("regression_mean", np.nan)},
        {"after": rolled},
        {"before": leaked},
    ],
    ids=[
        "probabilities",
        "ensemble probabilities",
        "weights",
        "mean",
        "deviation",
        "ensemble mean",
        "ensemble deviation",
        "features",
        "not a number",
        "rows moved",
        "windows mixed",
    ],
)
def test_a_broken_engine_fails_parity(
    tiny_engine: TorchScriptEngine, tiny_network: HybridNetwork, windows: NDArray[np.float32], broken: dict[str, Any]
) -> None:
    """An error of twice the tolerance in any output, or answers swapped or mixed within a batch, fail the check."""
    report = check_parity(Broken(tiny_engine, **broken), tiny_network, windows, batch_sizes=(64,))
    assert not report.passed
    assert "FAILED" in str(report)


def test_the_right_engine_passes_the_same_check(
    tiny_engine: TorchScriptEngine, tiny_network: HybridNetwork, windows: NDArray[np.float32]
) -> None:
    """The engine that the others are broken from passes, so that it is the breaking that fails."""
    assert check_parity(Broken(tiny_engine), tiny_network, windows, batch_sizes=(64,)).passed


def test_another_models_engine_fails_parity(tiny_engine: TorchScriptEngine, windows: NDArray[np.float32]) -> None:
    """An engine built from other weights is found out."""
    torch.manual_seed(1)
    assert not check_parity(tiny_engine, exercise(HybridNetwork(TINY), windows), windows, batch_sizes=(64,)).passed


def test_few_windows_prove_nothing(
    tiny_engine: TorchScriptEngine, tiny_network: HybridNetwork, windows: NDArray[np.float32]
) -> None:
    """Parity on fewer than 256 windows is not a check."""
    with pytest.raises(ValueError, match="256"):
        check_parity(tiny_engine, tiny_network, windows[:255])


def test_example_windows_have_the_features_scale(tiny_network: HybridNetwork) -> None:
    """A trace is checked on windows of the training features' own scale, the same at every start."""
    one, two = example_windows(tiny_network, 64), example_windows(tiny_network, 64)
    assert np.array_equal(one, two)
    scale = tiny_network.feature_deviation.numpy()[:, 0]
    assert np.allclose(one.std(axis=(0, 2)), scale, rtol=0.1)

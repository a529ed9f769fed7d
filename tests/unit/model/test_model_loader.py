"""Laws of loading: what is loaded answers as its network does, whatever the cache is like, beside a service or not."""

import dataclasses
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.compiled_cache import CompiledCache
from model.engine import Engine
from model.engine_plan import EngineChoice, EnginePlan
from model.errors import EngineError, ModelLoadError, ModelNotFoundError, QualityGateError
from model.golden_set import bundled_windows
from model.memory_estimate import estimate_memory
from model.model_loader import ModelLoader, PreparedModel
from model.outputs import ModelOutputs
from model.parity import TOLERANCES, compare, eager_outputs
from model.preparation import fill
from model.preparation_process import PreparationProcess
from model.registry import Registry
from model.verified_version import VerifiedVersion
from model.version_artifacts import VersionArtifacts
from tests.support.registry import FULL, NAME, make_registry, real_windows

SIZES = (1, 4)
TORCHSCRIPT = EngineChoice("torchscript")


@dataclasses.dataclass(frozen=True, slots=True)
class PreparationHere(PreparationProcess):
    """Does in this process what a child would, so that a test need not wait for one to start."""

    plans: list[EnginePlan] = dataclasses.field(default_factory=list)

    def run(self, registry: Registry, verified: VerifiedVersion, plan: EnginePlan, cache: Path) -> None:
        """See `PreparationProcess`."""
        self.plans.append(plan)
        fill(registry, verified, plan, VersionArtifacts(CompiledCache(cache), verified))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch: on a busy machine two spend their time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Two small versions; not to be changed."""
    return Registry(make_registry(tmp_path_factory.mktemp("registry")))


@pytest.fixture
def cache(tmp_path: Path) -> CompiledCache:
    """An empty cache."""
    return CompiledCache(tmp_path / "cache")


def load(
    registry: Registry,
    cache: CompiledCache | None,
    choice: EngineChoice = TORCHSCRIPT,
    *,
    beside: bool = False,
    preparation: PreparationProcess | None = None,
    version: int | None = None,
) -> PreparedModel:
    """Loads a version, beside a service without a child."""
    loader = ModelLoader(registry, cache, preparation=preparation or PreparationHere())
    return loader.load(NAME, version, choice, warm_up_sizes=SIZES, beside_service=beside)


def assert_right(prepared: PreparedModel, registry: Registry) -> None:
    """The engine answers as the version's eager network does, to windows that it was not held to."""
    network = registry.load(NAME, prepared.version).network
    windows = real_windows()[:32]
    found = compare(
        prepared.engine.run(windows),
        eager_outputs(network, windows),
        network.target_deviation.numpy(),
        TOLERANCES[prepared.engine.info.precision],
    )
    assert found.passed, str(found)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("kind", ["torchscript", "openvino", "eager"])
def test_what_is_loaded_is_right(registry: Registry, cache: CompiledCache, kind: str, beside: bool) -> None:
    """On every engine, with an empty cache and with a full one; the eager engine, which is not cached, without."""
    choice = EngineChoice(kind)  # type: ignore[arg-type]  # a parameter's type is not narrowed
    for kept in (cache, cache) if kind != "eager" else (None,):
        prepared = load(registry, kept, choice, beside=beside, version=1)
        assert (prepared.name, prepared.version) == (NAME, 1)
        assert prepared.sha256 == prepared.config.sha256 == registry.config(NAME, 1).sha256
        assert prepared.engine.info.name == kind
        assert list(prepared.warm_up) == list(SIZES)
        assert all(seconds > 0.0 for seconds in prepared.warm_up.values())
        assert prepared.gate.window_count == 256
        assert prepared.memory_bytes > 0
        assert prepared.load_seconds > 0.0
        assert_right(prepared, registry)


def test_a_warm_cache_needs_no_network(
    registry: Registry, cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cache has is neither built nor answered again; only the latest version is looked for."""
    load(registry, cache)

    def forbidden(*_: object) -> None:
        raise AssertionError("the network was built")

    monkeypatch.setattr("model.registry.Registry.load", forbidden)
    monkeypatch.setattr("model.golden_set.load_windows", forbidden)
    assert load(registry, cache).version == 2
    beside = PreparationHere()
    assert load(registry, cache, beside=True, preparation=beside).version == 2
    assert not beside.plans


def test_beside_a_service_nothing_is_converted_here(registry: Registry, cache: CompiledCache) -> None:
    """One preparation for the very engine; what it made is kept, for the start after it as well."""
    preparation = PreparationHere()
    load(registry, cache, beside=True, preparation=preparation)
    assert [(plan.kind, plan.precision) for plan in preparation.plans] == [("torchscript", "fp32")]
    load(registry, cache, beside=True, preparation=preparation)
    assert len(preparation.plans) == 1


def test_a_real_child(registry: Registry, cache: CompiledCache) -> None:
    """Prepares a version that this process then serves."""
    prepared = load(registry, cache, EngineChoice("openvino", "fp32"), beside=True, preparation=PreparationProcess())
    assert_right(prepared, registry)


def test_the_weights_are_verified_in_spite_of_the_cache(tmp_path: Path, cache: CompiledCache) -> None:
    """Damaged weights are refused, although nothing of them is needed."""
    registry = Registry(make_registry(tmp_path / "registry", versions=1))
    load(registry, cache)
    weights = registry.path / NAME / "1" / "model.pth"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    for beside in (False, True):
        with pytest.raises(ModelLoadError, match="sha256") as raised:
            load(registry, cache, beside=beside)
        assert raised.value.path == weights


def test_another_config_is_another_artifact(tmp_path: Path, cache: CompiledCache) -> None:
    """Weights that no longer fit their config are refused, although they were cached when they did."""
    registry = Registry(make_registry(tmp_path / "registry", versions=1))
    load(registry, cache)
    path = registry.path / NAME / "1" / "config.json"
    config = json.loads(path.read_text())
    config["feature_normalisation"]["mean"][0] += 1.0
    path.write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="normalisation"):
        load(registry, cache)


def test_a_damaged_artifact_is_made_again(
    registry: Registry, cache: CompiledCache, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller hears nothing of it; the log does; and it is whole again."""
    load(registry, cache)
    files = [path for path in cache.path.rglob("*") if path.suffix in (".pt", ".npz")]
    assert len(files) == 2
    for path in files:
        path.write_bytes(path.read_bytes()[:-1])
    assert_right(load(registry, cache), registry)
    assert sum("damaged" in record.message for record in caplog.records) == 2
    caplog.clear()
    assert_right(load(registry, cache), registry)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("beside", [False, True])
def test_a_cache_that_cannot_be_used_costs_only_time(
    registry: Registry, cache: CompiledCache, beside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Others can write there, so it is not used; the version is loaded all the same, beside a service too."""
    cache.path.mkdir()
    cache.path.chmod(0o777)
    assert_right(load(registry, cache, beside=beside), registry)
    assert not list(cache.path.iterdir())
    assert "can be written by others" in caplog.text


def test_what_a_child_of_other_code_made_is_not_used(registry: Registry) -> None:
    """It keeps its artifacts under another name; this process finds none, and says what to do."""

    class Elsewhere(PreparationProcess):
        """Makes nothing that is asked for."""

        def run(self, registry: Registry, verified: VerifiedVersion, plan: EnginePlan, cache: Path) -> None:
            """Ends well."""

    with pytest.raises(ModelLoadError, match="restart the service"):
        load(registry, None, beside=True, preparation=Elsewhere())


def test_what_does_not_exist(registry: Registry, cache: CompiledCache) -> None:
    """No such version, no such engine: typed as elsewhere."""
    with pytest.raises(ModelNotFoundError):
        load(registry, cache, version=9)
    with pytest.raises(EngineError):
        load(registry, cache, EngineChoice("torchscript", "bf16"))


def test_the_golden_windows_of_a_version(tmp_path: Path, cache: CompiledCache) -> None:
    """A version of other features is held to the windows that it brings, and refused without them."""
    registry = Registry(make_registry(tmp_path / "registry", versions=1))
    loaded = registry.load(NAME)
    foreign = dataclasses.replace(loaded.config, feature_schema="others-v1")
    version = registry.save(NAME, loaded.network, foreign, golden=real_windows()[:300])
    assert load(registry, cache).gate.window_count == 300
    registry.save(NAME, loaded.network, foreign)
    for beside in (False, True):
        with pytest.raises(QualityGateError, match=r"golden\.npy") as raised:
            load(registry, cache, beside=beside)
        assert raised.value.folder == registry.path / NAME / str(version + 1)


class Wrong:
    """An engine that is a little off.

    Args:
        engine: The right one.
        by: Added to every feature.
    """

    def __init__(self, engine: Engine, by: float) -> None:
        self.info = engine.info
        self._engine, self._by = engine, np.float32(by)

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """Computes, badly."""
        outputs = self._engine.run(windows)
        return dataclasses.replace(outputs, features=outputs.features + self._by)

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """Nothing to prepare."""
        return dict.fromkeys(batch_sizes, 1.0)


@pytest.fixture
def wrong_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the CPU say that it has bf16, and every bf16 engine built be off by four times its tolerance."""
    from model.engine import build_engine

    def build(plan: EnginePlan, network: object) -> Engine:
        engine = build_engine(dataclasses.replace(plan, precision="fp32"), network)  # type: ignore[arg-type]  # passed on
        if plan.precision == "fp32":
            return engine
        wrong = Wrong(engine, 4 * TOLERANCES["bf16"].feature)
        wrong.info = plan.info
        return wrong

    monkeypatch.setattr("model.openvino_engine.has_bf16", lambda: True)
    monkeypatch.setattr("model.preparation.build_engine", build)


@pytest.mark.usefixtures("wrong_in_bf16")
def test_auto_falls_back_where_bf16_is_too_far_off(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """The version is served in fp32, and says why; the log names what was off."""
    prepared = load(registry, None, EngineChoice("openvino"))
    assert prepared.engine.info.precision == "fp32"
    assert "bf16 were not close enough" in prepared.engine.info.reason
    assert "feature 4" in caplog.text
    assert_right(prepared, registry)


@pytest.mark.usefixtures("wrong_in_bf16")
def test_who_asks_for_bf16_gets_it_or_nothing(registry: Registry) -> None:
    """An explicit choice is never replaced: the version is refused, with folder, engine, difference and remedy."""
    with pytest.raises(QualityGateError, match="feature 4") as raised:
        load(registry, None, EngineChoice("openvino", "bf16"))
    error = raised.value
    assert (error.folder, error.engine) == (registry.path / NAME / "2", "openvino bf16")
    assert "fp32" in error.remedy


def test_the_priority_of_the_caller_stays(registry: Registry, cache: CompiledCache) -> None:
    """Loading beside a service leaves the loading thread as it was: a process may lower priorities, not raise them."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    load(registry, cache, beside=True)
    assert niceness() == before


def test_the_memory_of_a_version(tmp_path: Path) -> None:
    """Grows with the weights and with the largest batch, more in fp32 than in bf16; near what was measured."""
    registry = Registry(make_registry(tmp_path, versions=1, network=FULL))
    verified = VerifiedVersion.read(registry, NAME)

    def megabytes(kind: str, precision: str, batch: int) -> float:
        plan = EnginePlan(kind=kind, precision=precision, threads=1, reason="")  # type: ignore[arg-type]  # by name
        return estimate_memory(verified, plan.info, batch) / 1e6

    assert megabytes("openvino", "bf16", 64) == pytest.approx(63, rel=0.15)
    assert megabytes("openvino", "bf16", 128) == pytest.approx(100, rel=0.15)
    assert megabytes("openvino", "fp32", 64) == pytest.approx(95, rel=0.15)
    assert megabytes("openvino", "fp32", 128) == pytest.approx(170, rel=0.15)
    assert megabytes("torchscript", "fp32", 128) == pytest.approx(11, rel=0.15)


def test_the_bundled_windows_stay_as_they_are(registry: Registry, cache: CompiledCache) -> None:
    """No engine writes to what the next version is held to."""
    before = bundled_windows().tobytes()
    load(registry, cache)
    assert bundled_windows().tobytes() == before

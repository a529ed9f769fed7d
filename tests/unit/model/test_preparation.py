"""Laws of preparation in a process of its own: what it makes can be used, and however it ends is told."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

from model.compiled_cache import CompiledCache
from model.engine import build_engine
from model.engine_plan import EnginePlan
from model.errors import EngineError, ModelLoadError, ModelNotFoundError, QualityGateError
from model.golden_set import GoldenSet, bundled_windows
from model.preparation import main
from model.preparation_process import PreparationProcess
from model.preparation_result import raise_failure, result_line
from model.registry import Registry
from model.verified_version import VerifiedVersion
from model.version_artifacts import VersionArtifacts
from tests.support.registry import NAME, make_registry

PLAN = EnginePlan(kind="torchscript", precision="fp32", threads=1, reason="a test")
FOLDER = Path("registry/cnn_lstm/7")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """One small version; not to be changed."""
    return Registry(make_registry(tmp_path_factory.mktemp("registry"), versions=1))


@pytest.fixture
def verified(registry: Registry) -> VerifiedVersion:
    """Its version."""
    return VerifiedVersion.read(registry, NAME)


def run(script: str, registry: Registry, verified: VerifiedVersion, tmp_path: Path, limit: float = 60.0) -> None:
    """Has a child run `script` in place of a preparation."""
    process = PreparationProcess(time_limit=limit, command=(sys.executable, "-c", script))
    process.run(registry, verified, PLAN, tmp_path)


def test_a_child_fills_the_cache(registry: Registry, verified: VerifiedVersion, tmp_path: Path) -> None:
    """With what another process can use: an engine and the golden set, of the right version."""
    cache = CompiledCache(tmp_path / "cache")
    PreparationProcess().run(registry, verified, PLAN, cache.path)
    artifacts = VersionArtifacts(cache, verified)
    golden, engine = artifacts.golden(), artifacts.engine(PLAN)
    assert golden is not None
    assert engine is not None
    assert engine.run(golden.windows[:7]).valid_rows().all()


def test_a_child_says_why_a_version_is_refused(verified: VerifiedVersion, tmp_path: Path) -> None:
    """As if it had been refused here: the file at fault, the reason and the remedy."""
    broken = Registry(make_registry(tmp_path / "broken", versions=1))
    weights = broken.path / NAME / "1" / "model.pth"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelLoadError, match="sha256") as raised:
        PreparationProcess().run(broken, verified, PLAN, tmp_path / "cache")
    assert raised.value.path == weights
    assert raised.value.remedy


def test_a_child_that_hangs_is_killed(registry: Registry, verified: VerifiedVersion, tmp_path: Path) -> None:
    """After the time limit, with whatever it started; the error says so."""
    script = "import os, signal; os.fork(); signal.pause()"
    with pytest.raises(ModelLoadError, match=r"longer than 0\.2 s") as raised:
        run(script, registry, verified, tmp_path, limit=0.2)
    assert raised.value.path == verified.folder
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("raise SystemExit(3)", "without a result"),
        ("print('no JSON')", "no JSON"),
        ("print('[]')", "without a result"),
        ('print(\'{"result": "failed"}\')', "without a result"),
    ],
)
def test_a_child_that_dies(
    script: str, reason: str, registry: Registry, verified: VerifiedVersion, tmp_path: Path
) -> None:
    """Is an error that says how, and never a success."""
    with pytest.raises(ModelLoadError, match=reason):
        run(script, registry, verified, tmp_path)


def test_a_child_that_cannot_be_started(registry: Registry, verified: VerifiedVersion, tmp_path: Path) -> None:
    """Is an error of the version, too."""
    with pytest.raises(ModelLoadError, match="cannot be started"):
        PreparationProcess(command=(str(tmp_path / "nothing"),)).run(registry, verified, PLAN, tmp_path)


def test_a_child_is_told_what_to_do(registry: Registry, verified: VerifiedVersion, tmp_path: Path) -> None:
    """All that decides the artifact, and whose child it is; it has a low priority and one thread."""
    script = (
        "import json, os, sys; given = dict(zip(sys.argv[1::2], sys.argv[2::2]));"
        f"open({str(tmp_path / 'given')!r}, 'w').write(json.dumps([given, os.environ['OMP_NUM_THREADS']]));"
        "print(json.dumps({'result': 'prepared'}))"
    )
    run(script, registry, verified, tmp_path)
    given, threads = json.loads((tmp_path / "given").read_text())
    assert given == {
        "--registry": str(registry.path),
        "--name": NAME,
        "--version": "1",
        "--cache": str(tmp_path),
        "--engine": "torchscript",
        "--precision": "fp32",
        "--threads": "1",
        "--parent": str(os.getpid()),
    }
    assert threads == "1"


@pytest.mark.parametrize(
    "error",
    [
        ModelLoadError(FOLDER / "model.pth", "is damaged", "restore it"),
        QualityGateError(FOLDER, "openvino bf16", "is off", "take fp32"),
        QualityGateError(FOLDER, "", "has no windows", "bring some"),
        EngineError("this CPU has no bf16"),
    ],
)
def test_errors_survive_the_way(error: ModelLoadError | QualityGateError | EngineError) -> None:
    """With type, message and fields."""
    with pytest.raises(type(error)) as raised:
        raise_failure(result_line(error, FOLDER), FOLDER)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


@pytest.mark.parametrize("error", [ModelNotFoundError("a", 1, {}), ValueError("surprising"), MemoryError()])
def test_other_errors_become_a_load_error(error: Exception) -> None:
    """Of the version's folder, with the text of what happened."""
    with pytest.raises(ModelLoadError) as raised:
        raise_failure(result_line(error, FOLDER), FOLDER)
    assert raised.value.path == FOLDER
    assert str(error) in raised.value.reason


def test_the_command_by_hand(registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints one line and nothing else on stdout; fails with an exit code, and says why, on what it cannot do."""
    common = ["--registry", str(registry.path), "--cache", str(tmp_path / "cache"), "--engine", "eager"]
    assert main([*common, "--name", NAME]) == 0
    assert json.loads(capfd.readouterr().out) == {"result": "prepared"}
    verified = VerifiedVersion.read(registry, NAME)
    assert VersionArtifacts(CompiledCache(tmp_path / "cache"), verified).golden() is not None
    assert main([*common, "--name", "nobody"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert (told["result"], told["type"]) == ("failed", "ModelNotFoundError")
    assert "nobody" in told["reason"]


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "1" * 64},
        {"config": "another"},
        {"golden": "its own"},
    ],
)
def test_what_decides_an_artifact(
    registry: Registry, verified: VerifiedVersion, tmp_path: Path, change: dict[str, str]
) -> None:
    """Weights, config and windows: with any other nothing is found, save that windows do not change an engine."""
    artifacts = VersionArtifacts(CompiledCache(tmp_path / "cache"), verified)
    loaded = verified.load(registry)
    artifacts.keep_golden(GoldenSet.from_network(loaded.network, bundled_windows()))
    artifacts.keep_engine(PLAN, build_engine(PLAN, loaded.network))
    fields: dict[str, object] = dict(change)
    if "config" in change:
        fields["config"] = dataclasses.replace(verified.config, prediction_horizon=9)
    if "golden" in change:
        fields["golden"] = bundled_windows()
    same = VersionArtifacts(CompiledCache(tmp_path / "cache"), dataclasses.replace(verified))
    other = VersionArtifacts(CompiledCache(tmp_path / "cache"), dataclasses.replace(verified, **fields))  # type: ignore[arg-type]  # by name
    assert same.golden() is not None
    assert same.engine(PLAN) is not None
    assert other.golden() is None
    assert (other.engine(PLAN) is None) == ("golden" not in change)
    assert same.engine(dataclasses.replace(PLAN, kind="openvino")) is None

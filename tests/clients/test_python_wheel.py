"""The Python client as its users get it: a wheel, in an environment that has what it declares and nothing else.

No registry is asked: the environment's packages are links to those of this one, found by what the wheel requires.
"""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.layering import ROOT
from tests.support.registry import make_registry
from tests.support.service import settings_for
from tests.support.threaded_service import serving_in_thread

# Building, linking and checking types take a while on a busy machine.
pytestmark = pytest.mark.timeout(300)

SOURCE = ROOT / "clients/python"
# What a user's code may look like, with the types that a checker must find.
TYPED = """
import tickserve


def label(target: str) -> str:
    with tickserve.Client(target, retry=tickserve.RetryPolicy(max_attempts=2)) as client:
        prediction = client.predict(tickserve.example_window(client.model()), priority="real_time", timeout=0.05)
    reveal_type(prediction)
    reveal_type(prediction.classes)
    return prediction.label
"""


class Environment:
    """A virtual environment without pip."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.folder = folder
        self.python = folder / "bin/python"
        [self.packages] = folder.glob("lib/python*/site-packages")

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, in its own folder and with nothing of this one's on the path."""
        given = {"PATH": os.defpath, "HOME": str(self.folder), "COLUMNS": "200", "NO_COLOR": "1", **variables}
        program = str(self.folder / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, check=False, cwd=self.folder, env=given, timeout=60
        )

    def install(self, wheel: Path, *, extra: str) -> None:
        """Installs a wheel with pip, and links what it requires."""
        for name in required(wheel, extra):
            self.link(metadata.distribution(name))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(self.python)]
        subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], check=True)

    def link(self, distribution: metadata.Distribution) -> None:
        """Links every file of an installed distribution to its place here."""
        for file in distribution.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:  # scripts, and what Python writes itself
                continue
            place = self.packages / file
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.symlink_to(Path(str(distribution.locate_file(file))).resolve())


def required(wheel: Path, extra: str) -> list[str]:
    """Returns the distributions that a wheel needs with an extra (empty: without), and those that they need."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(name).decode()
    waiting = [(Requirement(line), extra) for line in re.findall(r"^Requires-Dist: (.*)$", text, flags=re.MULTILINE)]
    found: dict[str, None] = {}
    while waiting:
        requirement, wanted = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted}):
            continue
        name = canonicalize_name(requirement.name)
        version = metadata.version(name)
        assert requirement.specifier.contains(version), f"{requirement} is not met by {version}"
        if name not in found:
            found[name] = None
            waiting += [(Requirement(line), "") for line in metadata.requires(name) or ()]
    return list(found)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: builds leave folders beside their sources."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = copytree(SOURCE, folder / "source", ignore=ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    built = [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(built, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def library(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel installed without the command line."""
    made = Environment(tmp_path_factory.mktemp("library"))
    made.install(wheel, extra="")
    return made


@pytest.fixture(scope="module")
def cli(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel installed with the command line."""
    made = Environment(tmp_path_factory.mktemp("cli"))
    made.install(wheel, extra="cli")
    return made


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a replica, in this process: what is tested here is the wheel."""
    with serving_in_thread(settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))) as address:
        yield address


def modules(wheel: Path) -> Iterator[str]:
    """Yields the dotted names of a wheel's modules."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                yield name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_the_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    """Its modules, their types, the stubs' types; no tests, no server."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = {
        path.relative_to(SOURCE).as_posix()
        for pattern in ("*.py", "*.pyi", "py.typed")
        for path in (SOURCE / "tickserve").rglob(pattern)
    }
    assert names == tracked
    assert "tickserve/py.typed" in names


def test_the_library_needs_few_packages(wheel: Path) -> None:
    """gRPC, Protobuf, numpy, the generated messages of two standards, and what gRPC itself needs."""
    assert sorted(required(wheel, "")) == [
        "googleapis-common-protos",
        "grpcio",
        "grpcio-health-checking",
        "numpy",
        "protobuf",
        "typing-extensions",
    ]


def test_every_module_of_the_library_is_imported(library: Environment, wheel: Path) -> None:
    """What is declared suffices, and nothing but the command line wants the extra."""
    names = [name for name in modules(wheel) if not name.startswith("tickserve.cli.") or name == "tickserve.cli.main"]
    assert len(names) > 40
    done = library.run("python", "-W", "error", "-c", "".join(f"import {name}\n" for name in names))
    assert done.returncode == 0, done.stderr
    for absent in ("typer", "rich", "ray", "torch", "server"):
        assert library.run("python", "-c", f"import {absent}").returncode != 0


def test_the_command_line_says_what_it_needs(library: Environment) -> None:
    """Without the extra, one line names it, and the code is that of wrong usage."""
    told = library.run("tickserve", "--help")
    assert told.returncode == 2
    assert "typer and rich" in told.stderr
    assert "pip install 'tickserve[cli]'" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_command_line_works_without_the_server(cli: Environment) -> None:
    """Help and version are shown; a command of the server's says what to install."""
    shown = cli.run("tickserve", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "bench" in shown.stdout
    version = cli.run("tickserve", "--version")
    assert re.fullmatch(r"tickserve \d+\.\d+\.\d+\n", version.stdout)
    missing = cli.run("tickserve", "serve")
    assert missing.returncode == 2
    assert "pip install --upgrade tickserve-server" in missing.stderr


def test_a_type_checker_finds_the_types(library: Environment) -> None:
    """mypy, strict, reads the installed package, and its answers are types, not Any."""
    script = library.folder / "typed.py"
    script.write_text(TYPED)
    checked = subprocess.run(
        mypy(library, script), capture_output=True, text=True, check=False, cwd=library.folder, timeout=120
    )
    assert checked.returncode == 0, checked.stdout
    assert 'Revealed type is "tickserve.prediction.Prediction"' in checked.stdout
    assert re.search(
        r'Revealed type is "[a-z.]*(Mapping|dict)\[(builtins\.)?str, (builtins\.)?float\]"', checked.stdout
    )


def mypy(environment: Environment, script: Path) -> Sequence[str]:
    """Returns the command that checks a script as its user would."""
    options = ["--strict", "--config-file=", "--cache-dir", str(environment.folder / "cache")]
    return [sys.executable, "-m", "mypy", *options, "--python-executable", str(environment.python), str(script)]


def test_the_wheel_asks_a_live_service(cli: Environment, target: str) -> None:
    """The installed commands predict, and measure, over a real connection."""
    variables = {"TICKSERVE_TARGET": target}
    answer = cli.run("tickserve", "predict", "--example", "--timeout", "30", "--json", **variables)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["label"] in ("sell", "hold", "buy")
    # How fast a busy machine answers is not for a test to say.
    limits = ("--max", "mean=none", "--timeout", "30")
    measured = cli.run("tickserve", "bench", "load", "-n", "50", "-c", "5", *limits, "--json", **variables)
    assert measured.returncode == 0, measured.stdout
    total = json.loads(measured.stdout)["report"]["total"]
    assert (total["sent"], total["in_time"], total["reasons"]) == (50, 50, {})

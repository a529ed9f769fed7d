"""Runs what deploy/Dockerfile's build runs, without a container engine: `python -m scripts.dockerfile_run`.

In a clean folder that stands for the image's root, with the files that it copies and no others, in its order and with
its variables. So it shows that the COPY lines suffice and the commands work. What it cannot do here is left out and
said: packages and users of the system belong to this machine, not to the folder.

Then it calls what was installed, from an empty folder and with an empty environment: the version, the import of the
application, and, where there is a registry to serve, the service itself until it is healthy.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.dockerfile import Stage, Step, filled, ignore_rules, ignored, needed, parse_stages
from scripts.layering import ROOT

# The places that the image's commands name, which lie in the folder here.
PLACES = ("/opt/tickserve", "/src", "/models", "/var/cache/tickserve", "/var/lib/tickserve")
OF_THE_SYSTEM = re.compile(r"\b(apt-get|groupadd|useradd|ldconfig)\b")
READY, PATIENCE = "tickserve ready", 180.0


class Build:
    """One build, in a folder.

    Args:
        folder: Empty; stands for `/`.
        arguments: Values of the build's ARGs, which win over the file's.
    """

    def __init__(self, folder: Path, arguments: dict[str, str]) -> None:
        self._folder = folder
        self._given = arguments
        self._rules = ignore_rules((ROOT / ".dockerignore").read_text(encoding="utf-8"))
        tools = folder / "tools"
        tools.mkdir(parents=True)
        # The image's interpreter: this one, without what is installed beside it.
        for name in ("python", f"python3.{sys.version_info.minor}"):
            (tools / name).symlink_to(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
        self._first_path = f"{tools}:/usr/local/bin:/usr/bin:/bin"

    def run(self, stages: list[Stage]) -> dict[str, str]:
        """Runs the stages' steps and returns the variables of the last one.

        Raises:
            subprocess.CalledProcessError: A command failed.
        """
        variables: dict[str, dict[str, str]] = {}
        places: dict[str, Path] = {}
        for stage in stages:
            # A stage goes on from the one that it names; another image brings its own PATH alone.
            mine = dict(variables.get(stage.base, {"PATH": self._first_path}))
            place = places.get(stage.base, self._folder)
            for step in stage.steps:
                place = self._step(step, mine, place)
            variables[stage.name], places[stage.name] = mine, place
        return {name: value for name, value in variables[stages[-1].name].items() if name not in self._given}

    def _step(self, step: Step, variables: dict[str, str], place: Path) -> Path:
        """Does one step; returns the working folder after it."""
        match step.name:
            case "WORKDIR":
                place = Path(self._here(step.text))
                place.mkdir(parents=True, exist_ok=True)
            case "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", step.text):
                    variables[name] = self._here(value).replace("$PATH", variables["PATH"])
            case "ARG":
                name, _, value = step.text.partition("=")
                variables[name] = self._given.get(name, value.strip('"'))
            case "COPY" if not step.flag("from"):
                *sources, target = step.words()
                for source in sources:
                    self._copy(source, place / target)
            case "RUN" if OF_THE_SYSTEM.search(step.text):
                say(f"line {step.line}: left out: {step.text}")
            case "RUN":
                command = self._here(filled(step.text, variables))
                say(f"line {step.line}: {step.text}")
                shell = ["/bin/sh", "-euc", command]
                subprocess.run(shell, cwd=place, env=self._environment(variables), check=True)
        return place

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        """Returns a step's variables, and what tells pip here where packages are."""
        pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HTTP", "http", "SSL_"))}
        return {"PIP_QUIET": "1"} | pip | {"HOME": str(self._folder)} | variables

    def _here(self, text: str) -> str:
        """Returns a text in which the image's places are the folder's."""
        names = "|".join(map(re.escape, PLACES))
        return re.sub(rf"(?<![\w./-])({names})(?![\w-])", lambda match: f"{self._folder}{match[1]}", text)

    def _copy(self, source: str, target: Path) -> None:
        origin = ROOT / source
        files = [origin] if origin.is_file() else [path for path in origin.rglob("*") if path.is_file()]
        taken = [path for path in files if not ignored(path.relative_to(ROOT).as_posix(), self._rules)]
        if not taken:
            raise FileNotFoundError(f"COPY {source}: .dockerignore leaves nothing of it")
        for path in taken:
            name = path.name if origin.is_file() else path.relative_to(origin)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name)


def say(line: str) -> None:
    """Prints a line at once: what a command prints comes behind what was said before it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Builds, calls, and tells.

    Raises:
        SystemExit: Something failed.
    """
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--target", default="cpu", help="stage to build (default: cpu)")
    options.add_argument("--torch-pip-args", default=os.environ.get("TORCH_PIP_ARGS", ""), help="as for make setup")
    options.add_argument(
        "--serve", type=Path, default=ROOT / "registry", metavar="REGISTRY", help="what is served (default: registry)"
    )
    chosen = options.parse_args()
    stages = parse_stages((ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="tickserve-image-") as name:
        folder = Path(name)
        began = time.monotonic()
        try:
            variables = Build(folder, {"TORCH_PIP_ARGS": chosen.torch_pip_args}).run(needed(stages, chosen.target))
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"image: failed with {error.returncode}") from None
        say(f"image: built in {time.monotonic() - began:.0f} s")
        call(folder, variables, serve=chosen.serve)
    say("image: ok")


def call(folder: Path, variables: dict[str, str], *, serve: Path) -> None:
    """Calls what was installed, from an empty folder and with no variables but the image's.

    Raises:
        SystemExit: It does not do what it should.
    """
    empty = folder / "empty"
    empty.mkdir()
    environment = variables | {"HOME": str(empty), "TMPDIR": "/tmp"}  # noqa: S108  # as in the image
    tickserve = folder / "opt/tickserve/bin/tickserve"
    where = "import server.app, server.replica, model, tickserve; print(server.app.__file__)"
    for tool, arguments in ((tickserve, ["--version"]), (tickserve.with_name("python"), ["-c", where])):
        command = [str(tool), *arguments]
        told = subprocess.run(command, cwd=empty, env=environment, check=True, capture_output=True, text=True).stdout
        say(f"image: {told.strip()}")
        if tool != tickserve and not told.startswith(str(folder)):
            raise SystemExit("image: the application was not imported from what was installed")
    if not serve.is_dir():
        say(f"image: not served, there is no {serve}")
    else:
        shutil.copytree(serve, folder / "models", dirs_exist_ok=True)
        # The image's user cannot read this folder; scripts/read_only_run.sh is what runs as that user.
        for own in ("var/cache/tickserve", "var/lib/tickserve"):
            os.chown(folder / own, os.getuid(), os.getgid())
        serve_until_healthy(tickserve, empty, environment)


def serve_until_healthy(tickserve: Path, folder: Path, environment: dict[str, str]) -> None:
    """Starts the service, waits until its own health check passes, and stops it.

    Raises:
        SystemExit: It did not become healthy, or did not stop by itself.
    """
    service = subprocess.Popen([tickserve, "serve"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    began = time.monotonic()
    try:
        assert service.stdout is not None
        line = next((line for line in service.stdout if line.startswith(READY)), "")
        asking = [str(tickserve), "health"]
        health = subprocess.run(asking, cwd=folder, env=environment, check=False, capture_output=True, text=True)
        say(f"image: {line.strip()} after {time.monotonic() - began:.0f} s; health: {health.stdout.strip()}")
        if not line or health.returncode:
            raise SystemExit(f"image: not healthy: {health.stdout}{health.stderr}")
    finally:
        service.send_signal(signal.SIGINT)
        code = service.wait(PATIENCE)
    if code:
        raise SystemExit(f"image: the service ended with {code}")


if __name__ == "__main__":
    main()

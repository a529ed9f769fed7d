"""Every command of the README does what it says there, typed as it stands."""

import os
import pty
import signal
import subprocess
from contextlib import suppress

import pytest

from tests.integration.conftest import Service
from tests.support.documented import ROOT, as_here, blocks, commands

# What a test cannot run inside itself, and where it is run instead; `elsewhere` below holds the table to that.
CI = ".ci/run"
ELSEWHERE = {
    "make demo": CI,
    "make test": CI,
    "make serve": "tests/integration/conftest.py",
    'make setup TORCH_PIP_ARGS="--index-url https://download.pytorch.org/whl/cpu"': CI,
}
COMMANDS = [command for command in commands("README.md") if command not in ELSEWHERE]
# These go on until they are interrupted.
ENDLESS = {".venv/bin/tickserve stats --watch"}


def typed(text: str, service: Service) -> str:
    """Returns a command, or a program, as it is typed here."""
    return as_here(text, target=service.target, http=service.http)


def environment(service: Service) -> dict[str, str]:
    """Returns the environment of a reader whose service listens where this one does."""
    return {**os.environ, "TICKSERVE_TARGET": service.target, "NO_COLOR": "1"}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ENDLESS])
def test_a_command_of_the_readme(command: str, service: Service) -> None:
    """It ends well and says something."""
    done = subprocess.run(
        ["sh", "-c", typed(command, service)],
        cwd=ROOT,
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", sorted(ENDLESS))
def test_an_endless_command_of_the_readme(command: str, service: Service) -> None:
    """It shows something until it is interrupted, and then ends in good order."""
    assert command in COMMANDS
    # A live view shows itself to a terminal only.
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["sh", "-c", f"exec {typed(command, service)}"],
        cwd=ROOT,
        env=environment(service) | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as running:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # a terminal whose last program has ended
            while b"queue" not in shown.lower() and (more := os.read(ours, 4096)):
                shown += more
        running.send_signal(signal.SIGINT)
        # Its last frame must find room, or it would wait for a reader.
        with suppress(OSError):
            while os.read(ours, 4096):
                pass
    os.close(ours)
    assert b"queue" in shown.lower()
    assert running.returncode in {0, 130}


def test_the_program_of_the_readme(service: Service) -> None:
    """The Python example runs as it stands, given the window that it speaks of."""
    [program] = [block.text for block in blocks("README.md") if block.language == "python"]
    window = "import numpy as np\nwindow = np.random.default_rng(7).normal(size=(50, 60)).astype(np.float32)\n"
    done = subprocess.run(
        [typed(".venv/bin/python", service), "-c", window + typed(program, service)],
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"sell", "hold", "buy"} & set(done.stdout.split())


def test_what_runs_elsewhere_does() -> None:
    """Commands that are left out here are in the README, and where they are said to be run instead."""
    assert set(ELSEWHERE) <= set(commands("README.md"))
    for command, place in ELSEWHERE.items():
        said = " ".join(command.split()[:2]) if place == CI else "serving("
        assert said in (ROOT / place).read_text(encoding="utf-8"), f"{command} is not run by {place}"

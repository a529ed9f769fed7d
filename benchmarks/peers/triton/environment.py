"""The virtual environment of the Triton peer: `python -m benchmarks.peers.triton.environment` makes it, if need be."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDER = _HERE.parent.parent.parent / "build" / "peers" / "triton"
PYTHON = FOLDER / "bin" / "python"
SERVER = _HERE / "server.py"
_REQUIREMENTS = _HERE / "requirements.txt"
# What is installed is what this file says; another one is installed anew.
_MADE_OF = FOLDER / "made-of.txt"

# On CPython 3.11 Triton's stub starts from a lock that lacks `_recursion_count`, which newer gevent asks for.
_SITE_CUSTOMIZE = """import threading

threading.RLock = threading._PyRLock
"""


def make() -> None:
    """Makes the environment unless it is there and up to date.

    Raises:
        subprocess.CalledProcessError: A package could not be installed.
    """
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if _MADE_OF.is_file() and _MADE_OF.read_text(encoding="utf-8") == wanted:
        return
    venv.EnvBuilder(with_pip=True, clear=True).create(FOLDER)
    subprocess.run(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(_REQUIREMENTS)],
        check=True,
        stdout=sys.stderr,
    )
    [packages] = FOLDER.glob("lib/python3.*/site-packages")
    (packages / "sitecustomize.py").write_text(_SITE_CUSTOMIZE, encoding="utf-8")
    _MADE_OF.write_text(wanted, encoding="utf-8")


def is_made() -> bool:
    """Returns whether the environment is there."""
    return _MADE_OF.is_file()


def versions() -> list[str]:
    """Returns what the environment is made of, one requirement each."""
    lines = _REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line.replace("==", " ") for line in lines[:4] if line and not line.startswith("#")]


def variables() -> dict[str, str]:
    """Returns the variables that the server needs: its stub finds Python through the path."""
    return {"PATH": f"{FOLDER / 'bin'}:/usr/bin:/bin", "VIRTUAL_ENV": str(FOLDER)}


if __name__ == "__main__":
    make()

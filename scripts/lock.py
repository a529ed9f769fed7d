"""Compiles requirements/lock.txt: every package that development and serving need, pinned with hashes, but for torch.

The direct requirements come from the pyprojects and requirements/*.in. Versions already in the lock are kept unless a
pin changed; `--upgrade` lets the others move. Runs inside an environment that has pip-tools (`make lock` makes one).
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PYPROJECTS = (ROOT / "pyproject.toml", ROOT / "clients/python/pyproject.toml")
# Ours are installed from this tree; torch is pinned apart (docs/adr/0004).
NOT_LOCKED = {"tickserve", "tickserve-server", "torch"}
INPUTS = ("client.in", "dev.in", "torch.in")
HEADER = """\
# Written by `make lock` from the pyprojects and requirements/*.in; do not edit. CPython 3.11, Linux x86_64.
# torch is pinned apart, in torch.txt.
"""


def direct_requirements() -> Iterator[str]:
    """Yields the requirement lines of both distributions, optional ones included, and of the input files."""
    for path in PYPROJECTS:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        optional = project.get("optional-dependencies", {})
        for line in [*project.get("dependencies", []), *(line for group in optional.values() for line in group)]:
            name = re.match(r"[A-Za-z0-9._-]+", line)
            if name is None or name.group() not in NOT_LOCKED:
                yield line
    for file_name in INPUTS:
        yield from (REQUIREMENTS / file_name).read_text(encoding="utf-8").splitlines()


def compile_lock(source: Path, output: Path, *, upgrade: bool) -> None:
    """Resolves the requirements in `source` into `output`, naming no index."""
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"]
    command += ["--strip-extras", "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--no-emit-trusted-host", "--no-emit-options", "--resolver=backtracking"]
    command += ["--upgrade"] if upgrade else []
    command += ["--output-file", str(output), str(source)]
    subprocess.run(command, check=True, cwd=ROOT)
    # pip-tools sets apart what it calls unsafe to pin (setuptools); we pin it on purpose.
    lines = [line for line in output.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    output.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Compiles the lock, then the build back end's own."""
    upgrade = "--upgrade" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "requirements.in"
        source.write_text("\n".join(direct_requirements()) + "\n", encoding="utf-8")
        compile_lock(source, REQUIREMENTS / "lock.txt", upgrade=upgrade)
    compile_lock(REQUIREMENTS / "build.in", REQUIREMENTS / "build.txt", upgrade=upgrade)


if __name__ == "__main__":
    main()

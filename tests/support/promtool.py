"""Prometheus's own checker, for tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def promtool(*arguments: str | Path) -> str:
    """Returns what `promtool` says; fails the test where it objects.

    Skips the test only where it is missing and could not have been installed.
    """
    if shutil.which("promtool") is None:
        told = "promtool is not installed; `make test` installs it where it may (scripts/test_servers.sh)"
        if os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(told)
        pytest.skip(told)
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""The package's face: names, documentation, and what it costs to import."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tickserve

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tickserve.__path__, "tickserve.")
    if not module.name.startswith("tickserve.v1")
)


@pytest.mark.parametrize("name", ["tickserve", *MODULES])
def test_public_names_are_listed(name: str) -> None:
    """`__all__` is a sorted tuple of names that exist and are documented by their module."""
    module = importlib.import_module(name)
    assert module.__doc__
    names = getattr(module, "__all__", ())
    assert isinstance(names, tuple)
    assert list(names) == sorted(names)
    assert not [one for one in names if not hasattr(module, one)]


def test_the_package_is_typed() -> None:
    """Type checkers are told to look inside."""
    assert (Path(tickserve.__path__[0]) / "py.typed").exists()


def test_the_library_needs_no_command_line() -> None:
    """Without the extra `cli`, neither typer nor rich is imported."""
    script = "import tickserve, sys; assert not {'typer', 'rich', 'ray', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)

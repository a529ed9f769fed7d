"""The repository's own papers agree with each other: pins with the lock, the changelog with its form."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PYPROJECTS = ("pyproject.toml", "clients/python/pyproject.toml")
OURS = {"tickserve", "tickserve-server"}


def pins(text: str) -> dict[str, str]:
    """Returns the `name==version` lines of a requirement file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """What `make setup` installs: the hashed lock, and torch beside it."""
    return {**pins(read("requirements/lock.txt")), **pins(read("requirements/torch.txt"))}


def read(path: str) -> str:
    """Returns the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def direct_requirements(path: str) -> Iterator[Requirement]:
    """Yields what the distribution at `path` requires, optional and build requirements included."""
    document = tomllib.loads(read(path))
    project = document["project"]
    yield from map(Requirement, document["build-system"]["requires"])
    yield from map(Requirement, project.get("dependencies", []))
    for group in project.get("optional-dependencies", {}).values():
        yield from map(Requirement, group)


@pytest.mark.parametrize("path", PYPROJECTS)
def test_the_lock_satisfies_every_direct_requirement(path: str, locked: dict[str, str]) -> None:
    """The locked version of each direct requirement is one that the pyproject allows."""
    for requirement in direct_requirements(path):
        if (name := canonicalize_name(requirement.name)) not in OURS:
            assert requirement.specifier.contains(Version(locked[name])), f"{requirement} is locked at {locked[name]}"


def test_the_server_pins_its_direct_requirements_exactly() -> None:
    """The service is an application: each direct requirement is one version."""
    for requirement in direct_requirements("pyproject.toml"):
        assert [clause.operator for clause in requirement.specifier] == ["=="], str(requirement)


def test_the_development_tools_are_locked_as_pinned(locked: dict[str, str]) -> None:
    """The lock holds the very versions of the input files."""
    for path in ("requirements/dev.in", "requirements/client.in", "requirements/build.in"):
        for name, version in pins(read(path)).items():
            assert locked[name] == version


def test_every_locked_package_has_hashes() -> None:
    """Each requirement of the lock is pinned and carries hashes, and no index is named."""
    for path in ("requirements/lock.txt", "requirements/build.txt"):
        text = "\n".join(line for line in read(path).splitlines() if not line.startswith("#"))
        requirements = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]
        assert requirements
        for entry in requirements:
            assert re.match(r"[A-Za-z0-9._-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
        assert "torch" not in pins(text)


def test_no_lock_names_a_registry() -> None:
    """Packages come from whichever index the machine is set up with."""
    for path in ("requirements/lock.txt", "requirements/build.txt", "requirements/torch.txt", "package-lock.json"):
        assert "://" not in read(path), path


def test_the_distributions_have_one_version() -> None:
    """Server and client are released together."""
    versions = {tomllib.loads(read(path))["project"]["version"] for path in PYPROJECTS}
    assert len(versions) == 1


def test_the_changelog_has_an_unreleased_section() -> None:
    """A change has a place to be told of."""
    assert re.search(r"^## \[Unreleased\]$", read("CHANGELOG.md"), flags=re.MULTILINE)


def test_every_decision_is_in_the_index() -> None:
    """The list of decisions names each record, and each record has its three parts."""
    index = read("docs/adr/README.md")
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert records
    for record in records:
        assert f"({record.name})" in index, record.name
        text = record.read_text(encoding="utf-8")
        assert [part for part in ("## Context", "## Decision", "## Consequences") if part not in text] == []

"""The tutorial works as it stands: every command is typed, in order, against a live service."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Service, environment, serving
from tests.support.documented import ROOT, as_here, blocks
from tests.support.registry import FULL, make_registry

PAGE = "docs/tutorial.md"
# Run by CI as steps of its own, and by the fixture.
ELSEWHERE = {"make demo\n", "make serve\n"}
STEPS = [block.text for block in blocks(PAGE) if block.language == "sh" and block.text not in ELSEWHERE]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tutor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of the second step, without keys."""
    registry = make_registry(tmp_path_factory.mktemp("tutorial") / "registry", network=FULL)
    with serving(environment(registry), registry) as running:
        yield running


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_tutorial(step: str, tutor: Service) -> None:
    """It ends well and says something."""
    if "clients/go" in step and not (ROOT / "build/stubs/go").exists():
        pytest.skip("the stubs for Go were not made: no toolchains")
    here = as_here(step, target=tutor.target, http=tutor.http)
    done = subprocess.run(
        ["sh", "-euc", here],
        cwd=ROOT,
        env={**os.environ, "TICKSERVE_TARGET": tutor.target, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    if "|| echo" in step:
        assert "refused, exit code 1" in done.stdout
    if step.startswith("curl"):
        assert '"prediction"' in done.stdout, done.stdout


def test_what_is_left_out_is_on_the_page() -> None:
    """The commands that are run elsewhere are those of the first two steps."""
    assert {block.text for block in blocks(PAGE)} >= ELSEWHERE

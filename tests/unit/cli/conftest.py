"""What the tests of the command line share."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from tests.unit.client.fake_service import FakeService
from tickserve.cli.app import build_app


class Outcome(NamedTuple):
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of output, read as JSON."""
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Outcome]


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A stand-in for the service, on a socket."""
    with FakeService().serving() as serving:
        yield serving


@pytest.fixture
def run(service: FakeService) -> Run:
    """Runs `tickserve` with arguments, against the stand-in."""

    def run_arguments(*arguments: str, **environment: str) -> Outcome:
        defaults = {"TICKSERVE_TARGET": service.target, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        result = CliRunner().invoke(build_app(), arguments, env={**defaults, **environment})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run_arguments

"""What the tests of the command line share."""

from collections.abc import Iterator

import pytest

from tests.unit.client.fake_service import FakeService


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A stand-in for the service, on a socket."""
    with FakeService().serving() as serving:
        yield serving

"""Laws of the RPC services over a real socket, in raw bytes: every bad input is refused as the contract says."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from server.settings import Settings
from tests.support.bad_input import BAD_INPUTS, BadInput
from tests.support.raw_client import provoke
from tests.support.registry import make_registry
from tests.support.service import Service, serving, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default limits, and a registry with two versions; made outside the event loop, for it writes files."""
    return settings_for(make_registry(tmp_path_factory.mktemp("registry")))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        yield connected


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD_INPUTS])
async def test_bad_input_is_refused_with_its_type(channel: grpc.aio.Channel, case: BadInput) -> None:
    """Each bad input has its code, reason, field and metadata, and harms nothing that is sent beside it."""
    refused = await provoke(channel, case)
    assert (refused.code, refused.domain, refused.reason) == (case.code, "tickserve", case.reason)
    assert refused.metadata.items() >= case.metadata.items()
    if case.code is grpc.StatusCode.INVALID_ARGUMENT:
        assert refused.fields == (case.field,)

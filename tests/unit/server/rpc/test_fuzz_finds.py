"""What the fuzzer has found, each with the messages that did it, through the whole decoding path."""

from collections.abc import Iterator

import pytest

from tests.support import messages as m
from tests.support.local import LocalService, local_service
from tests.support.registry import make_registry
from tests.support.service import settings_for
from tickserve.v1.model_service_pb2 import GetStatisticsResponse


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A replica with a fake engine."""
    with local_service(settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))) as running:
        yield running


def test_jumps_to_the_last_sequence_number_do_not_silence_the_statistics(service: LocalService) -> None:
    """Two gaps of nearly 2^63 were more than the count of missing numbers could tell: nobody could read any figures."""
    last = 2**63 - 2
    stream = [m.opening("A", "B"), m.tick("A", last, bar=m.bar()), m.tick("B", last, bar=m.bar())]
    _, refused = service.stream("StreamTicks", [message.SerializeToString() for message in stream])
    assert refused is None
    statistics = service.unary("GetStatistics", b"")
    assert isinstance(statistics, GetStatisticsResponse)
    assert statistics.replicas[0].ticks.missing_count == 2**63 - 1

"""Two replicas: what they know of each other, and settings that change while they serve."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from tests.integration.conftest import Service, environment, serving
from tests.support.waiting import wait_for
from tickserve import Client, InvalidRequestError, ReplicaStatistics

T = TypeVar("T")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of the service."""
    path = tmp_path_factory.mktemp("settings") / "tickserve.toml"
    path.write_text('profile = "market_hours"\n')
    return path


@pytest.fixture(scope="module")
def pair(registry: Path, file: Path) -> Iterator[Service]:
    """A service of two replicas that reads its settings from a file."""
    env = environment(
        registry,
        TICKSERVE_CONFIG=str(file),
        TICKSERVE_REPLICAS="2",
        TICKSERVE_ENGINE="torchscript",
        TICKSERVE_WINDOWS__ALLOW_SPLIT="true",  # nobody streams ticks here
    )
    with serving(env, registry) as running:
        yield running


def both(client: Client) -> list[ReplicaStatistics] | None:
    """Returns the statistics of two replicas, or None while fewer are known."""
    known = client.statistics()
    return known if len(known) == 2 else None


def test_each_replica_tells_of_the_other(pair: Service) -> None:
    """GetStatistics gives the answering replica as it is now and the other with its age."""
    with Client(pair.target, default_timeout=10, retry=None) as client:
        own, other = wait_for(lambda: both(client))
    assert own.sample_age == 0
    assert 0 < other.sample_age < 15
    assert own.replica_id != other.replica_id


def test_live_settings_reach_running_replicas(pair: Service, file: Path) -> None:
    """SIGHUP puts the file's new values in force without replacing a replica; a mistake in it changes nothing."""
    window = np.zeros((50, 60), np.float32)
    with Client(pair.target, default_timeout=10, retry=None) as client:
        before = {replica.replica_id for replica in wait_for(lambda: both(client))}
        assert all(isinstance(client.predict_batch([window] * 3), list) for _ in range(4))

        file.write_text('profile = "stress_test"\nmax_windows_per_request = 2\n')
        pair.process.send_signal(signal.SIGHUP)
        wait_for(lambda: {replica.profile for replica in both(client) or ()} == {"stress_test"})
        for _ in range(4):  # either replica answers
            with pytest.raises(InvalidRequestError) as refused:
                client.predict_batch([window] * 3)
            assert refused.value.reason == "TOO_MANY_WINDOWS"

        file.write_text('profile = "market_hours"\nmax_queue_size = 7\n')  # it is scheduler.max_queue_size
        pair.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "not reconfigured" in "".join(pair.output))
        assert "max_queue_size" in "".join(pair.output)
        after = wait_for(lambda: both(client))
    assert {replica.replica_id for replica in after} == before
    assert {replica.profile for replica in after} == {"stress_test"}

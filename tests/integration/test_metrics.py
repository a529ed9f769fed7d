"""One scrape for a node's replicas, by Debian's Prometheus: it answers for all of them, also when one is killed."""

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no types
import pytest

from model.dataset import load_windows
from tests.integration.conftest import Service, environment, free_port, serving
from tests.support.prometheus import Prometheus, prometheus
from tests.support.registry import DATA, make_registry
from tests.support.scraped import Scraped
from tests.support.waiting import wait_for
from tickserve import Client, Priority, UnavailableError

pytestmark = pytest.mark.timeout(400)

WAVE = 40
P99 = "histogram_quantile(0.99, sum by (class, le) (rate(tickserve_request_duration_seconds_bucket[5m])))"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two replicas with a small model."""
    small = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    env = environment(
        small,
        TICKSERVE_REPLICAS="2",
        TICKSERVE_REPLICA_CPUS="1",
        TICKSERVE_ENGINE_THREADS="1",
        TICKSERVE_ENGINE="torchscript",
        TICKSERVE_WINDOWS__ALLOW_SPLIT="true",
        TICKSERVE_METRICS__DIRECTORY=str(tmp_path_factory.mktemp("metrics")),
    )
    with serving(env, small) as running:
        yield running


def holder_of(service: Service) -> int:
    """Returns the pid of the replica that holds the scrape port."""
    port = int(service.metrics.rpartition(":")[2])
    [holder] = [
        pid
        for pid in service.replica_pids()
        if any(c.status == "LISTEN" and c.laddr.port == port for c in psutil.Process(pid).net_connections())
    ]
    return holder


def ask(service: Service, priority: Priority) -> float:
    """Gets `WAVE` answers, from whichever replica, and returns the longest time that one took, seconds."""
    windows, longest, answered = load_windows(DATA, 64), 0.0, 0
    with Client(service.target) as client:
        while answered < WAVE:
            began = time.monotonic()
            try:
                client.predict(windows[answered], priority=priority, timeout=30, bypass_cache=True)
            except UnavailableError:
                continue  # one of two is gone: said to the caller, and no request that ended
            longest = max(longest, time.monotonic() - began)
            answered += 1
    return longest


def test_two_replicas_one_scrape_and_one_of_them_killed(pair: Service, tmp_path: Path) -> None:
    """Prometheus tells p99 by class for both; killing the one it talks to costs no count, and no total falls."""
    with prometheus(tmp_path, listen=f"127.0.0.1:{free_port()}", target=pair.metrics) as server:
        wait_for(lambda: server.value("count(tickserve_replica_info)") == 2)
        # An increase begins with a value before it: the first wave makes the series, the second is what rates tell of.
        longest = {priority: ask(pair, priority) for priority in (Priority.REAL_TIME, Priority.STANDARD)}
        wait_for(lambda: server.value("sum(tickserve_goodput_total)") == 2 * WAVE)
        longest = {priority: max(seconds, ask(pair, priority)) for priority, seconds in longest.items()}
        wait_for(lambda: server.value("sum(tickserve_goodput_total)") == 4 * WAVE)
        assert_p99(server, longest)
        before, killed = replicas(server), holder_of(pair)
        os.kill(killed, signal.SIGKILL)
        # Another one holds the port, and the dead one's gauges have gone.
        wait_for(lambda: replicas(server) and not before <= replicas(server))
        wait_for(lambda: server.value("sum(tickserve_goodput_total)") == 4 * WAVE)
        wait_for(lambda: len(replicas(server)) == 2)
        assert killed != holder_of(pair)
        ask(pair, Priority.REAL_TIME)
        wait_for(lambda: server.value('sum(tickserve_goodput_total{class="real_time"})') == 3 * WAVE)
        assert server.value("sum(tickserve_goodput_total)") == 5 * WAVE
        assert server.value("max(resets(tickserve_goodput_total[10m]))") == 0
        assert server.value("max(resets(tickserve_request_duration_seconds_count[10m]))") == 0
        assert server.value('sum(tickserve_requests_total{code="OK"})') == 5 * WAVE
        assert server.value('sum(tickserve_model_loaded{version="1"})') == 2
    with urllib.request.urlopen(f"{pair.http}/metrics", timeout=30) as response:
        page = Scraped(response.read())
    assert page.value("tickserve_goodput_total") == 5 * WAVE, "through HAProxy whichever replica answers for all"


def replicas(server: Prometheus) -> set[str]:
    """Returns the ids of the replicas that live, as the last scrape told."""
    return {labels["replica"] for labels, _ in server.query("tickserve_replica_info")}


def assert_p99(server: Prometheus, longest: dict[Priority, float]) -> None:
    """Fails unless each class has a p99 in seconds that is no longer than what its callers have seen."""
    found = {labels["class"]: value for labels, value in server.query(P99)}
    assert found.keys() == {priority.name.lower() for priority in longest}
    for priority, seconds in longest.items():
        # The quantile lies somewhere in its bucket, whose upper bound is at most three times the lower one.
        assert 0 < found[priority.name.lower()] <= 3 * seconds

"""Laws of the metrics over a real socket: whatever becomes of a request is counted once, under the right labels."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from server.config.settings import Settings
from server.rpc.ingress import METHODS
from server.telemetry.metric_catalogue import METRICS
from tests.support import messages as m
from tests.support.fakes import POISON, FakeEngine, use_engine
from tests.support.raw_client import call, exchange
from tests.support.registry import NAME, make_registry
from tests.support.scraped import Scraped
from tests.support.service import REPLICA_ID, Service, serving, settings_for

REAL_TIME = "PRIORITY_REAL_TIME"
OK = {"code": "OK", "reason": "", "model": NAME, "version": "2"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """The engine of every model."""
    engine = FakeEngine()
    with use_engine(lambda: engine):
        yield engine


@pytest.fixture
def settings(registry: Path, tmp_path: Path) -> Settings:
    """A replica counts in a folder of the test's, without a port."""
    return settings_for(registry, metrics={"directory": tmp_path / "metrics", "port": 0})


@pytest.fixture
async def service(settings: Settings, engine: FakeEngine) -> AsyncIterator[Service]:
    """A replica."""
    async with serving(settings) as running:
        yield running


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        yield connected


async def scrape(service: Service) -> Scraped:
    """Reads the metrics as a scraper does."""
    page = service.replica.telemetry.metrics.page
    assert page is not None
    body, content_type = await asyncio.to_thread(page)
    assert content_type.startswith("text/plain; version=0.0.4")
    return Scraped(body)


async def test_an_answer_counts_once_and_its_stages_are_its_duration(
    service: Service, channel: grpc.aio.Channel
) -> None:
    """One request is one of each series of its class and version; parts of its time add up to all of it."""
    for index in range(3):
        await call(channel, "Predict", m.predict(window=m.window(index), priority=REAL_TIME).SerializeToString())
    page = await scrape(service)
    labels = {"method": "Predict", "class": "real_time", **OK}
    assert page.value("tickserve_requests_total") == page.value("tickserve_requests_total", **labels) == 3
    version = {"model": NAME, "version": "2"}
    duration = {"method": "Predict", "class": "real_time", **version}
    assert page.value("tickserve_request_duration_seconds_count", **duration) == 3
    assert page.value("tickserve_request_duration_seconds_bucket", le="+Inf", **duration) == 3
    of_class = {"class": "real_time"}
    assert page.value("tickserve_deadline_total") == page.value("tickserve_deadline_total", outcome="in_time") == 3
    assert page.value("tickserve_goodput_total", **of_class) == 3
    assert page.value("tickserve_queue_duration_seconds_count", **of_class) == 3
    assert page.value("tickserve_deadline_slack_seconds_count", **of_class) == 3
    assert 0 < page.value("tickserve_deadline_slack_seconds_sum", **of_class) < 180
    for stage in ("decode", "admit", "queue", "gather", "inference", "scatter", "encode"):
        assert page.value("tickserve_stage_duration_seconds_count", stage=stage) == 3
    whole = page.value("tickserve_request_duration_seconds_sum")
    assert page.value("tickserve_stage_duration_seconds_sum") == pytest.approx(whole)
    batches = page.value("tickserve_batches_total", **version)
    assert batches == page.value("tickserve_inference_duration_seconds_count", **version)
    assert page.value("tickserve_batch_size_sum", **version) == 3
    assert page.value("tickserve_rpcs_total", method="Predict", code="OK") == 3


async def test_every_ending_has_its_labels(service: Service, channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """Refused, unknown, failed and late requests count by code, reason and deadline; nothing unknown is a label."""
    await call(channel, "Predict", b"\xff\xff")
    await call(channel, "Predict", m.predict(model=m.model("no-such-model")).SerializeToString())
    await call(
        channel,
        "Predict",
        m.predict(window=m.spoilt_window(raw_float32=m.floats(at=0, value=POISON))).SerializeToString(),
    )
    page = await scrape(service)
    assert page.value("tickserve_requests_total", code="INVALID_ARGUMENT", reason="MALFORMED_MESSAGE") == 1
    assert page.value("tickserve_requests_total", code="NOT_FOUND", reason="MODEL_NOT_FOUND", model="") == 1
    failed = {"class": "standard", "code": "INTERNAL", "reason": "INFERENCE_FAILED"}
    assert page.value("tickserve_requests_total", **failed) == 1
    assert page.value("tickserve_requests_total") == 3
    assert page.value("tickserve_deadline_total", outcome="failed") == page.value("tickserve_deadline_total") == 1
    assert page.value("tickserve_goodput_total") == 0
    assert "no-such-model" not in page.text


async def test_known_answers_items_and_streams_count_as_requests(service: Service, channel: grpc.aio.Channel) -> None:
    """Each item is a request of its method; an answer that was known has no stages, and the cache says so."""
    await call(channel, "PredictBatch", m.batch().SerializeToString())
    items = [m.item(str(index)).SerializeToString() for index in range(3)]
    await exchange(channel, "StreamPredict", items)
    await asyncio.sleep(0)
    page = await scrape(service)
    assert page.value("tickserve_requests_total", method="PredictBatch", **OK) == 2
    assert page.value("tickserve_requests_total", method="StreamPredict", **OK) == 3
    assert page.value("tickserve_goodput_total") == 5
    # The stream's windows are the batch's first one.
    assert page.value("tickserve_stage_duration_seconds_count", stage="inference") == 2
    assert page.value("tickserve_rpcs_total", method="StreamPredict", code="OK") == 1


async def test_figures_of_the_replica_are_written(service: Service, channel: grpc.aio.Channel) -> None:
    """What the replica counts by itself is scraped, too, under its own name."""
    await call(channel, "Predict", m.predict().SerializeToString())
    page = await scrape(service)
    while not page.value("tickserve_replica_memory_bytes"):
        await asyncio.sleep(0.05)
        page = await scrape(service)
    [info] = page.labels("tickserve_replica_info")
    assert info["replica"] == REPLICA_ID
    assert page.value("tickserve_model_loaded", model=NAME, version="2") == 1
    assert page.value("tickserve_batch_limit", model=NAME, version="2") >= 1
    assert page.value("tickserve_replica_memory_bytes") > 10_000_000
    assert page.value("tickserve_replica_cpu_seconds_total") > 0
    assert 0 <= page.value("tickserve_device_utilisation_ratio", device="cpu") <= 1
    assert page.labels("tickserve_queue_size")
    assert page.value("tickserve_deep_health_state") == 0


async def test_ticks_and_open_streams_are_told(service: Service, channel: grpc.aio.Channel) -> None:
    """A stream counts while it is open, and each tick by what became of it."""
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])
    stream = multi(timeout=100)
    ticks = [m.tick("A", sequence, bar=m.bar()) for sequence in (1, 1, 0)]
    for message in (m.opening("A"), *ticks):
        await stream.write(message.SerializeToString())
        await stream.read()
    page = await scrape(service)
    while not page.value("tickserve_ticks_total", result="refused"):
        await asyncio.sleep(0.05)
        page = await scrape(service)
    results = [page.value("tickserve_ticks_total", result=result) for result in ("applied", "duplicate", "refused")]
    assert results == [1, 1, 1]
    assert page.value("tickserve_streams", method="StreamTicks") == page.value("tickserve_symbols") == 1
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    while page.value("tickserve_streams"):
        await asyncio.sleep(0.05)
        page = await scrape(service)
    assert page.value("tickserve_rpcs_total", method="StreamTicks", code="OK") == 1


async def test_page_is_what_prometheus_asks_for(service: Service, channel: grpc.aio.Channel) -> None:
    """`promtool` finds no fault with names, types or help; every metric of the catalogue has its head."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs Debian's prometheus package")
    await call(channel, "Predict", m.predict().SerializeToString())
    page = await scrape(service)
    check = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=page.text, text=True, capture_output=True, check=False
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")
    assert [metric.name for metric in METRICS if f"# TYPE {metric.name} {metric.kind.value}" not in page.text] == []


@pytest.fixture(params=["switched off", "no folder", "not a folder"])
def without_metrics(request: pytest.FixtureRequest, registry: Path, tmp_path: Path) -> Settings:
    """Settings with which nothing can be counted."""
    (tmp_path / "file").write_text("")
    folder: Path | None = {"switched off": tmp_path, "not a folder": tmp_path / "file"}.get(request.param)
    enabled = request.param != "switched off"
    return settings_for(registry, metrics={"port": 0, "enabled": enabled, "directory": folder})


async def test_where_nothing_can_be_counted_requests_are_answered(
    without_metrics: Settings, engine: FakeEngine
) -> None:
    """Metrics that are off, or have no place, make no page and keep no replica from answering."""
    async with serving(without_metrics) as service, grpc.aio.insecure_channel(service.target) as channel:
        assert isinstance(await call(channel, "Predict", m.predict().SerializeToString()), bytes)
        assert service.replica.telemetry.metrics.page is None

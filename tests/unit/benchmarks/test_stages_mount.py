"""The stage benchmark's ways into a replica: the real service, with every stage of it under the stopwatch."""

from collections.abc import AsyncIterator

import pytest

from benchmarks.load.requests import RequestFactory
from benchmarks.stages import features, spots
from benchmarks.stages.inside import SCENARIOS, Scenario, distinct_requests, run
from benchmarks.stages.mount import CallFailedError, Feed, mount, mounted, settings_for
from benchmarks.stages.replica_threads import interpolated
from benchmarks.stages.stopwatch import Stopwatch
from server.config.settings import Settings
from tests.support.fakes import FakeEngine, use_engine
from tests.support.registry import NAME, make_registry, real_windows
from tickserve.v1.prediction_service_pb2 import PredictRequest


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Returns settings for a registry with one version."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    return settings_for(registry, model=NAME, threads=1, max_batch_size=16)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_every_stage_is_met_by_every_kind_of_call(settings: Settings, scenario: Scenario) -> None:
    """A stage that has moved to another function would read as free; batches have the size that is told."""
    watch = Stopwatch()
    with use_engine(FakeEngine):
        async with mounted(settings) as replica:
            served = mount(replica.dispatcher, routing_key=scenario.identified)
            with spots.timed(watch, FakeEngine):
                await run(scenario, 2, served, distinct_requests(real_windows()))
    calls = 2 * scenario.batch
    assert set(watch.sums) == {*spots.LOOP_STAGES, *spots.ENGINE_STAGES, *spots.WAITS}
    for stage in ("parse", "find model", "hash", "admit and submit", "range check", "encode", "serialise", "queue"):
        assert watch.sums[stage].count >= calls, stage
    for stage in ("gather", "inference", "scatter", "hand over", "engine wakes", "loop wakes"):
        assert watch.sums[stage].count == 2, stage


async def test_a_refusal_is_no_measurement(settings: Settings) -> None:
    """A call that fails ends the run instead of being timed."""
    with use_engine(FakeEngine):
        async with mounted(settings) as replica:
            with pytest.raises(CallFailedError, match="INVALID_ARGUMENT"):
                await mount(replica.dispatcher).unary(b"")


async def test_a_feed_gives_all_that_was_put_in_and_ends() -> None:
    """In order, and then the stream is over."""
    feed = Feed()
    feed.put([b"1", b"2"])
    feed.put([b"3"])
    feed.close()
    requests: AsyncIterator[bytes] = aiter(feed)
    assert [request async for request in requests] == [b"1", b"2", b"3"]


def test_requests_for_features_ask_for_nothing_else_as_well() -> None:
    """What is appended adds the option and changes no other."""
    factory = RequestFactory(real_windows()[:2], priority="standard", feature_schema="s")
    request = factory.make(1, request_id="1", timeout=1.0)
    plain, extended = PredictRequest.FromString(request), PredictRequest.FromString(request + features._WITH_FEATURES)
    assert extended.options.return_features
    assert extended != plain
    extended.options.ClearField("return_features")
    assert extended == plain


@pytest.mark.parametrize(("at", "value"), [(0.0, 1.0), (1.0, 1.0), (1.5, 2.0), (2.0, 3.0), (3.0, 4.0), (9.0, 5.0)])
def test_readings_between_two_instants_are_in_proportion(at: float, value: float) -> None:
    """At a reading its value holds, between two what lies between them, outside the nearest one."""
    assert interpolated([1.0, 2.0, 4.0], [1.0, 3.0, 5.0], at) == pytest.approx(value)

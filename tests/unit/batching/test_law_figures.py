"""What is counted of the laws: time that a slot was idle with work at hand, and how predictions came true."""

import asyncio
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from batching import Batch, Batcher, CostAccuracy, CostModel, PriorityClass, Request, SchedulerConfig, Ticket
from batching.aside import Aside
from batching.cost_model import MAX_KEYS
from batching.engine_slots import EngineSlots


class Clock:
    """Stands still until it is set."""

    now = 10.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.now


class Slots:
    """The slots of a batcher, and the end of each call."""

    def __init__(self, clock: Clock, count: int = 1) -> None:
        self.ended = asyncio.Event()
        self.slots: EngineSlots[int, int] = EngineSlots(
            self._compute, count=count, clock=clock, bind=None, report=lambda *_: self.ended.set()
        )
        self._clock = clock
        self._duration = 0.0

    def _compute(self, _key: str, payloads: Sequence[int]) -> Sequence[int]:
        self._clock.now += self._duration
        return payloads

    async def run(self, *enqueued_at: float, duration: float) -> None:
        """Runs a batch now whose requests have waited since then, and waits for its end."""
        self._duration = duration
        self.ended.clear()
        request = Request(priority=PriorityClass.STANDARD, deadline=1e9, batch_key="m", caller="", payload=1)
        tickets: list[Ticket[int, int]] = [Ticket(request, index, at) for index, at in enumerate(enqueued_at)]
        self.slots.run(Batch("m", tickets, self._clock.now))
        await self.ended.wait()


async def test_idle_time_counts_from_when_both_slot_and_request_were_there() -> None:
    """Law 3: neither a slot without requests nor requests without a slot count; the later of the two begins it."""
    clock = Clock()
    slots = Slots(clock)
    clock.now = 12.0
    await slots.run(11.5, 11.0, duration=3.0)  # free since 10, asked for since 11, begun at 12
    assert slots.slots.idle_with_queue == pytest.approx(1.0)
    assert clock.now == 15.0
    clock.now = 15.25
    await slots.run(13.0, duration=1.0)  # asked for since 13, free since 15, begun a quarter later: the loop was late
    assert slots.slots.idle_with_queue == pytest.approx(1.25)
    await slots.run(16.25, duration=1.0)  # the moment it came
    assert slots.slots.idle_with_queue == pytest.approx(1.25)
    await slots.slots.stop()


async def test_idle_time_ignores_what_is_no_request() -> None:
    """What runs aside waits for an idle slot by its nature: that says nothing of the law."""
    clock = Clock()
    slots = Slots(clock)
    clock.now = 20.0
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    slots.slots.run(Aside("m", 1, 11.0, future))
    await slots.ended.wait()
    assert slots.slots.idle_with_queue == 0.0
    await slots.slots.stop()


async def test_shell_tells_idle_time_before_and_after_its_life() -> None:
    """Held back for company, a request waits beside an idle slot: the snapshot says so, and says 0 before the start."""
    batcher: Batcher[int, int] = Batcher(
        lambda _key, payloads: payloads, config=SchedulerConfig(max_queue_delay=0.001), heartbeat_interval=1000.0
    )
    assert batcher.statistics().idle_with_queue == 0.0
    await batcher.start()
    request = Request(priority=PriorityClass.STANDARD, deadline=1e12, batch_key="m", caller="", payload=1)
    completion = await batcher.submit(request)
    waited = batcher.statistics().idle_with_queue
    assert waited == pytest.approx(completion.queue_duration)
    await batcher.close()
    assert batcher.statistics().idle_with_queue == waited


SECONDS = st.floats(1e-5, 100.0)


@settings(max_examples=150, deadline=None)
@given(samples=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 64), SECONDS), max_size=60))
def test_every_predicted_batch_counts_once_by_its_ratio(samples: list[tuple[str, int, float]]) -> None:
    """Law 7: a batch counts in the bucket of its duration over what was predicted before it; the first one in none."""
    model = CostModel()
    expected: dict[str, list[float]] = {}
    for now, (key, size, seconds) in enumerate(samples):
        if model.curve(key).known:
            expected.setdefault(key, []).append(seconds / model.median(key, size))
        model.observe(key, size, seconds, float(now))
    found = model.accuracy()
    assert found.keys() == expected.keys()
    for key, ratios in expected.items():
        assert found[key].total == pytest.approx(sum(ratios))
        bounds = (*CostAccuracy.BOUNDS, float("inf"))
        within = [sum(ratio <= bound for ratio in ratios) for bound in bounds]
        assert [sum(found[key].counts[: index + 1]) for index in range(len(bounds))] == within


def test_warm_up_is_a_prediction_and_no_measurement() -> None:
    """What is learned before service counts as no ratio; the first batch served is held against it."""
    model = CostModel(warm_up={"m": {1: 0.010}})
    assert model.accuracy() == {}
    model.observe("m", 1, 0.0105, 1.0)
    counts = model.accuracy()["m"].counts
    assert counts[CostAccuracy.BOUNDS.index(1.1)] == sum(counts) == 1


def test_ratios_are_forgotten_with_their_key() -> None:
    """Law 10: as many keys are counted as are remembered."""
    model = CostModel()
    for number in range(3 * MAX_KEYS):
        for now in (0.0, 1.0):
            model.observe(f"m{number}", 1, 0.01, number + now / 2)
    assert len(model.accuracy()) == MAX_KEYS

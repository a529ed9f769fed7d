"""Properties of calls that no request asked for, beside any traffic: they give way, count nowhere, and all end."""

import asyncio
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batching import Batcher, Completion, PriorityClass, Request, SchedulerConfig
from batching.engine_slots import EngineSlots
from tests.unit.batching.conftest import GatedEngine

ASIDE = 1_000
"""Payloads from here on are no request's."""

Step = PriorityClass | str
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(st.sampled_from(PriorityClass), st.sampled_from(["aside", "release", "turn"])), max_size=40
)


class WatchedBatcher(Batcher[int, int]):
    """Remembers how many requests waited at each moment in which an aside was chosen."""

    async def start(self) -> None:
        """See `Batcher`."""
        await super().start()
        self.waited: list[int] = []
        run = self._slots.run

        def watched(batch: Any) -> None:
            if batch.payloads[0] >= ASIDE:
                self.waited.append(sum(self.statistics().queue_size.values()))
            run(batch)

        slots: EngineSlots[int, int] = self._slots
        slots.run = watched  # type: ignore[method-assign]


async def drive(steps: list[Step]) -> None:
    """Takes a batcher of one slot through the steps, lets everything end, and checks what must hold."""
    engine = GatedEngine()
    batcher = WatchedBatcher(engine, config=SchedulerConfig(max_batch_size=1))
    await batcher.start()
    requests: list[asyncio.Task[Completion[int]]] = []
    asides: list[asyncio.Task[Completion[int]]] = []
    for step in steps:
        if isinstance(step, PriorityClass):
            request = Request(priority=step, deadline=math.inf, batch_key="m", caller="c", payload=len(requests))
            requests.append(asyncio.create_task(batcher.submit(request)))
        elif step == "aside":
            asides.append(asyncio.create_task(batcher.run_aside("m", ASIDE + len(asides), patience=3600.0)))
        elif step == "release":
            engine.release()
        await asyncio.sleep(0)
    for _ in range(len(requests) + len(asides)):
        engine.release()
    answered = [-completion.result for completion in await asyncio.gather(*requests)]
    found = [-completion.result for completion in await asyncio.gather(*asides)]
    assert answered == list(range(len(requests)))
    assert found == list(range(ASIDE, ASIDE + len(asides)))
    assert batcher.waited == [0] * len(asides)
    figures = batcher.statistics()
    assert figures.submitted + figures.shadow_outcomes.get("submitted", 0) == len(requests)
    assert figures.completed + figures.shadow_outcomes.get("completed", 0) == len(requests)
    assert figures.batches == len(requests)
    assert (figures.in_flight, figures.running_batches) == (0, 0)
    assert bool(figures.costs) == bool(requests)
    await batcher.close()


@given(steps=STEPS)
def test_asides_give_way_and_count_nowhere(steps: list[Step]) -> None:
    """Whatever comes when: each begins while nothing waits, everything ends right, and only requests are counted."""
    asyncio.run(drive(steps))

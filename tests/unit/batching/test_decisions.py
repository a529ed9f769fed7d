"""What the scheduler decided before there were shadows, it decides still, to the last request.

The digests are of the code without the class, over traffic in which every part of the policy acts. A change of the
policy that is meant changes them: see then that the tests of the laws hold, and write down the new ones. (So it was
when batches began to shrink no further on a machine more than twice as slow as at warm-up, and when the level of the
cost curve came to be held to the warm-up.)
"""

import hashlib
import math
import random

import pytest

from batching import Batch, PriorityClass, RefusedError, Request, Scheduler, SchedulerConfig, Ticket

CLASSES = (PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND)
CONFIGS = {
    "defaults": SchedulerConfig(),
    "tight": SchedulerConfig(
        max_batch_size=4,
        max_total_queue_size=40,
        fairness_quantum=2,
        max_wait=dict(zip(CLASSES, (0.05, 0.1, 0.2), strict=True)),
        promotion_share=0.3,
        max_promoted=3,
    ),
    "held back": SchedulerConfig(max_queue_delay=0.004, max_batch_size=8),
    "fixed": SchedulerConfig(adaptive=False, admission=False, max_batch_size=16, max_total_queue_size=60),
}
DIGESTS = {
    ("defaults", 1): "826d4f4edb155e45",
    ("tight", 1): "a36849f03035445d",
    ("tight", 2): "2372d9dd5148a75b",
    ("held back", 1): "0a596cae6c0df3ec",
    ("fixed", 1): "3cc5fa0d691bea26",
}


@pytest.mark.parametrize(("name", "slots"), DIGESTS)
def test_decisions_are_those_of_before(name: str, slots: int) -> None:
    """Batches, endings and refusals come in the same order, without a shadow and with the code for them."""
    assert _decisions(CONFIGS[name], slots) == DIGESTS[name, slots]


def _decisions(config: SchedulerConfig, slots: int) -> str:
    """Return a digest of who ran with whom, and how everybody ended, in order."""
    chance = random.Random(slots)
    digest = hashlib.sha256()
    core: Scheduler[int, int] = Scheduler(config, slots=slots)
    for key in "xyz":
        for size in (1, 8, 64):
            core.observe_warm_up(key, size, _takes(size))
    now = 0.0
    running: list[tuple[float, Batch[int, int]]] = []
    live: list[Ticket[int, int]] = []
    for number in range(2500):
        now += chance.random() * (0.001 if number % 1000 < 500 else 0.01)
        request = Request(
            priority=chance.choice(CLASSES),
            deadline=now + chance.choice((0.005, 0.05, 0.5, math.inf)),
            batch_key=chance.choice("xxyz"),
            caller=chance.choice("ffffabc"),
            payload=number,
            share_key=str(chance.randrange(30)) if chance.random() < 0.3 else None,
        )
        try:
            live.append(core.submit(request, now))
        except RefusedError as error:
            digest.update(f"{number} {type(error).__name__};".encode())
        if chance.random() < 0.1:
            core.cancel(live[chance.randrange(max(0, len(live) - 50), len(live))], now)
        core.expire(now)
        for end in [end for end in running if end[0] <= now]:
            running.remove(end)
            core.complete(end[1], end[1].payloads, now)
        while len(running) < slots and (batch := core.choose(now)) is not None:
            digest.update(f"{batch.batch_key} {batch.payloads};".encode())
            running.append((now + _takes(len(batch)) * (0.9 + 0.4 * chance.random()), batch))
        for ticket in core.take_ended():
            digest.update(f"{ticket.request.payload} {type(ticket.outcome).__name__};".encode())
    return digest.hexdigest()[:16]


def _takes(size: int) -> float:
    return 0.002 + 0.001 * size

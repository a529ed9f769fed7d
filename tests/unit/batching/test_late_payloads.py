"""Law 2 for payloads: what a request is about may be decided when its batch is chosen."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from batching import Batcher, InferenceFailedError, PriorityClass, Request

Payload = list[int]


def request(payload: Payload) -> Request[Payload]:
    """Returns a request without deadline."""
    return Request(priority=PriorityClass.STANDARD, deadline=float("inf"), batch_key="m", caller="", payload=payload)


async def test_a_payload_is_bound_when_its_batch_is_chosen() -> None:
    """While it waits behind another batch it may still change; in the loop's thread, once for each."""
    gate = threading.Event()
    entered = threading.Event()
    bound_in: list[int] = []

    def bind(payload: Payload) -> Payload:
        bound_in.append(threading.get_ident())
        return list(payload)

    def run_batch(_key: str, batch: Sequence[Payload]) -> list[int]:
        entered.set()
        assert gate.wait(30)
        return [payload[0] for payload in batch]

    batcher: Batcher[Payload, int] = Batcher(run_batch, bind=bind)
    await batcher.start()
    first, second = [1], [2]
    running = asyncio.create_task(batcher.submit(request(first)))
    await asyncio.to_thread(entered.wait, 30)
    waiting = asyncio.create_task(batcher.submit(request(second)))
    await asyncio.sleep(0)
    first[0], second[0] = 10, 20
    gate.set()
    assert [(await running).result, (await waiting).result] == [1, 20]
    assert bound_in == [threading.get_ident()] * 2
    await batcher.close()


async def test_a_payload_that_cannot_be_bound_fails_its_batch() -> None:
    """The slot is free again for the next one."""

    def bind(payload: Payload) -> Payload:
        if not payload:
            raise ValueError("nothing there")
        return payload

    batcher: Batcher[Payload, int] = Batcher(lambda _, batch: [payload[0] for payload in batch], bind=bind)
    await batcher.start()
    with pytest.raises(InferenceFailedError):
        await batcher.submit(request([]))
    assert (await batcher.submit(request([3]))).result == 3
    await batcher.close()

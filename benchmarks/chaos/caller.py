"""The callers' process: reads a plan from standard input, calls until that is closed, and writes what became of it.

In a process of its own: what the harness does to the service must not delay those who measure it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from benchmarks.chaos.plan import CallerPlan
from benchmarks.chaos.record import Record, to_rows
from benchmarks.chaos.tick_calls import TickCalls
from benchmarks.chaos.unary_calls import UnaryCalls
from benchmarks.chaos.windows import Windows
from tickserve import AsyncClient

READY = "calling"


async def call(
    plan: CallerPlan, stop: asyncio.Event, *, heard: Callable[[Record], None] = lambda _: None
) -> dict[str, object]:
    """Calls until `stop` is set; returns the records and what the library says of itself.

    Args:
        plan: What to ask.
        stop: Ends it; what is under way is waited for.
        heard: Told of each record at once.
    """
    windows = await asyncio.to_thread(Windows, bar_interval=plan.bar_interval)
    records: list[Record] = []

    def keep(record: Record) -> None:
        records.append(record)
        heard(record)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(AsyncClient(plan.target)) for _ in range(plan.clients)]
        unary = UnaryCalls(clients, windows, itertools.count(plan.first_seed), keep)
        streams = [
            TickCalls(
                await stack.enter_async_context(AsyncClient(plan.target)),
                plan.symbols[index :: plan.streams],
                windows,
                interval=plan.tick_interval,
                keep=keep,
            )
            for index in range(min(plan.streams, len(plan.symbols)))
        ]
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(stream.run(stop))
            for asked in plan.unary:
                if plan.outstanding:
                    for _ in range(plan.outstanding):
                        group.create_task(unary.one_after_another(asked, stop))
                else:
                    group.create_task(unary.on_schedule(asked, stop))
        await unary.ended()
        statistics = [client.retry_statistics for client in clients]
    return {
        "records": to_rows(records),
        "retries": sum(each.retries for each in statistics),
        "refused_by_budget": sum(each.refused_by_budget for each in statistics),
        "reconnects": sum(stream.reconnect_count for stream in streams),
        "lost_streams": [text for stream in streams for text in stream.lost_streams],
    }


async def _main() -> None:
    plan = CallerPlan.from_json(sys.stdin.readline())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    waiting = loop.run_in_executor(None, sys.stdin.read)  # until the harness closes its end
    waiting.add_done_callback(lambda _: stop.set())
    is_calling = False

    def heard(_: Record) -> None:
        # The first call has ended: files are read and connections made.
        nonlocal is_calling
        if not is_calling:
            is_calling = True
            sys.stdout.write(READY + "\n")
            sys.stdout.flush()

    sys.stdout.write(json.dumps(await call(plan, stop, heard=heard)) + "\n")


if __name__ == "__main__":
    asyncio.run(_main())

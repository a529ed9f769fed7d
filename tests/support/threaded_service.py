"""The service without Ray in a thread of its own, for what needs it and runs in no event loop: other processes too.

with serving_in_thread(settings) as target:
    tickserve.Client(target)
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from server.config.settings import Settings
from tests.support.service import serving

_START_TIMEOUT = 60.0


@contextmanager
def serving_in_thread(settings: Settings) -> Iterator[str]:
    """Serves on a free loopback port while the context is entered, and gives its address.

    Raises:
        RuntimeError: The service did not start; the cause is what it raised.
    """
    started: SimpleQueue[str | BaseException] = SimpleQueue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving(settings) as service:
            started.put(service.target)
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:  # whatever it is, it is the waiting thread's to raise
            started.put(error)

    thread = threading.Thread(target=run, name="service-under-test")
    thread.start()
    try:
        outcome = started.get(timeout=_START_TIMEOUT)
        if isinstance(outcome, BaseException):
            raise RuntimeError("the service did not start") from outcome
        yield outcome
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()

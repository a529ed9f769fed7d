"""Owns engine calls that no request asked for, such as a check of the engine. Must not know what they are for.

One runs alone, in a slot that is idle while nothing waits. It is a batch without requests: the slots, the hang check
and the shutdown treat it as any other, and the core, which never chose it, has it in no figure and no prediction.
Whoever arrives meanwhile waits for it to end, as for a batch of one shadow.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic

from batching.errors import InferenceFailedError, NoTurnError, SchedulerClosedError, SchedulerError, member_failure
from batching.priority import PriorityClass
from batching.request import Completion, P, R
from batching.ticket import Batch


class Aside(Batch[P, R]):
    """One such call.

    Attributes:
        asked_at: Since when it waits, monotonic seconds.
        future: Its result, or why there is none.
    """

    __slots__ = ("asked_at", "future")

    def __init__(self, batch_key: str, payload: P, asked_at: float, future: asyncio.Future[Completion[R]]) -> None:
        super().__init__(batch_key, [], asked_at)
        self.payloads = (payload,)
        self.asked_at = asked_at
        self.future = future

    def __len__(self) -> int:
        """Return 1: it is one execution, though of no request."""
        return 1


class Asides(Generic[P, R]):
    """Those that wait for a moment in which nothing else is to do.

    Args:
        clock: Monotonic seconds.
        wake: Has a slot looked for, in a later turn of the loop.
    """

    def __init__(self, clock: Callable[[], float], wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._waiting: deque[Aside[P, R]] = deque()

    async def run(self, batch_key: str, payload: P, *, patience: float) -> Completion[R]:
        """Return a payload's result.

        Raises:
            NoTurnError: Nothing was idle for ``patience`` seconds.
            SchedulerError: The engine failed or hung, or the scheduler was closed.
        """
        aside: Aside[P, R] = Aside(batch_key, payload, self._clock(), asyncio.get_running_loop().create_future())
        self._waiting.append(aside)
        self._wake()
        try:
            await asyncio.wait([aside.future], timeout=patience)
            if aside in self._waiting:
                raise NoTurnError(self._clock() - aside.asked_at)
            return await aside.future  # it runs: the engine, or the hang check, ends it
        finally:
            aside.future.cancel()  # whoever asked may have gone, and then nobody hears how it ends
            if aside in self._waiting:
                self._waiting.remove(aside)

    def begin(self, now: float) -> Aside[P, R] | None:
        """Return the next one, for a slot that is idle while nothing else waits; None if there is none."""
        if not self._waiting:
            return None
        aside = self._waiting.popleft()
        aside.chosen_at = now
        return aside

    def complete(
        self, batch: Batch[P, R], results: Sequence[R], now: float, *, inference_duration: float | None = None
    ) -> None:
        """End one with what the engine returned; see ``Scheduler.complete``."""
        if len(results) != 1:
            self.fail(batch, InferenceFailedError(f"the engine returned {len(results)} results for one payload"), now)
        elif isinstance(batch, Aside) and not batch.future.done():
            duration = inference_duration if inference_duration is not None else now - batch.chosen_at
            batch.future.set_result(
                Completion(
                    result=results[0],
                    queue_duration=batch.chosen_at - batch.asked_at,
                    inference_duration=duration,
                    batch_size=1,
                    effective_priority=PriorityClass.SHADOW,
                    enqueued_at=batch.asked_at,
                    chosen_at=batch.chosen_at,
                    completed_at=now,
                )
            )

    def fail(self, batch: Batch[P, R], error: BaseException, now: float) -> None:
        """End one without a result; one that has ended stays as it is."""
        del now  # it has no deadline
        if isinstance(batch, Aside) and not batch.future.done():
            batch.future.set_exception(error if isinstance(error, SchedulerError) else member_failure(error))

    def close(self) -> None:
        """End all that wait."""
        while self._waiting:
            self.fail(self._waiting.popleft(), SchedulerClosedError("closed while it waited"), self._clock())

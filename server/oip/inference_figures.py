"""What the Open Inference Protocol wants to know of each version's past: counts and summed durations.

Counts requests of all methods, for they run in the same batches. Knows no messages.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable

from server.inference.batch_run import BatchRun
from server.models.loaded_versions import Key
from server.observation.request_record import Outcome, RequestRecord
from server.observation.rpc_record import RpcRecord


@dataclasses.dataclass(slots=True)
class Sum:
    """How often something happened, and how long it took in all.

    Attributes:
        count: How often.
        seconds: In all.
    """

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one; a negative span, of a request that joined a computation which had begun, counts as none."""
        self.count += 1
        self.seconds += max(0.0, seconds)


@dataclasses.dataclass(slots=True)
class BatchSums:
    """The engine calls with one number of windows.

    Attributes:
        input: Gathering the windows.
        infer: In the engine.
        output: Parting the answer into rows.
    """

    input: Sum = dataclasses.field(default_factory=Sum)
    infer: Sum = dataclasses.field(default_factory=Sum)
    output: Sum = dataclasses.field(default_factory=Sum)


@dataclasses.dataclass(slots=True)
class VersionFigures:
    """One version's past on this replica.

    Attributes:
        last_answer_at: When its last answer was given, seconds since the epoch; 0 for never.
        success: Requests answered, from receipt to reply.
        fail: Requests refused, likewise; those that their callers gave up count nowhere.
        queue: Of the answered ones that were computed: in the queue.
        input: Of these: from the queue to the engine.
        infer: Of these: in the engine.
        output: Of these: from the engine to the reply.
        cached: Requests that were answered with what was known.
        batches: Engine calls by the number of windows in them; those that failed are not there.
    """

    last_answer_at: float = 0.0
    success: Sum = dataclasses.field(default_factory=Sum)
    fail: Sum = dataclasses.field(default_factory=Sum)
    queue: Sum = dataclasses.field(default_factory=Sum)
    input: Sum = dataclasses.field(default_factory=Sum)
    infer: Sum = dataclasses.field(default_factory=Sum)
    output: Sum = dataclasses.field(default_factory=Sum)
    cached: Sum = dataclasses.field(default_factory=Sum)
    batches: dict[int, BatchSums] = dataclasses.field(default_factory=dict)


class InferenceFigures:
    """An observer that sums up, by version.

    Args:
        wall_clock: Seconds since the epoch.
    """

    def __init__(self, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._versions: dict[Key, VersionFigures] = {}
        # Engine calls end in the engine's threads, requests on the event loop.
        self._lock = threading.Lock()

    def of(self, key: Key) -> VersionFigures:
        """Returns a copy of a version's figures; all zero for one that has no past here."""
        with self._lock:
            return copy.deepcopy(self._versions.get(key)) or VersionFigures()

    def request_ended(self, record: RequestRecord) -> None:
        """Counts one request of a version that is known."""
        if record.model is None or record.outcome is Outcome.CANCELLED:
            return
        with self._lock:
            figures = self._of(record.model.key)
            if record.outcome is Outcome.REFUSED:
                figures.fail.add(record.duration)
                return
            figures.last_answer_at = self._wall_clock()
            figures.success.add(record.duration)
            if record.answer is None or record.batch is None:
                figures.cached.add(record.duration)
                return
            completion, batch = record.answer.completion, record.batch
            figures.queue.add(completion.chosen_at - completion.enqueued_at)
            figures.input.add(batch.engine_started_at - completion.chosen_at)
            figures.infer.add(batch.engine_ended_at - batch.engine_started_at)
            figures.output.add(record.ended_at - batch.engine_ended_at)

    def batch_ended(self, run: BatchRun) -> None:
        """Counts one engine call, in the engine's thread."""
        if run.is_probe or run.failed:
            return
        with self._lock:
            batches = self._of(run.model.key).batches
            sums = batches.setdefault(run.size, BatchSums())
            sums.input.add(run.engine_started_at - run.started_at)
            sums.infer.add(run.engine_ended_at - run.engine_started_at)
            sums.output.add(run.ended_at - run.engine_ended_at)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Counts nothing: an RPC is no inference."""

    def _of(self, key: Key) -> VersionFigures:
        return self._versions.setdefault(key, VersionFigures())

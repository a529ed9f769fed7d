"""Laws of the batch runner: one copy of each window, and no buffer is given to two calls at once."""

import dataclasses
import threading

import numpy as np
import pytest

from server.inference.batch_run import BatchRun
from server.inference.batch_runner import BatchRunner, WindowBuffers
from server.inference.predictor import Work
from server.inference.shared_traces import SharedTraces
from server.models.served_model import ServedModel
from server.trace_context import TraceContext
from tests.support.fakes import FakeEngine, served_model
from tests.support.registry import real_windows


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


def works(model: ServedModel, *numbers: float) -> list[Work]:
    """Returns work on windows that are views of messages, as they come from the wire."""
    return [
        Work(window=np.frombuffer(np.full(3000, n, "<f4").tobytes(), "<f4").reshape(50, 60), model=model)
        for n in numbers
    ]


def test_the_engine_gets_the_windows_in_order_and_nothing_else() -> None:
    """Whatever the buffer held before, also where a smaller batch follows a larger one."""
    engine = FakeEngine()
    seen = []
    engine.wait = lambda: seen.append(engine.batches[-1].copy())
    runner = BatchRunner()
    model = served_model(engine)
    for numbers in ((1.0, 2.0, 3.0, 4.0, 5.0), (6.0,), (7.0, 8.0)):
        assert len(runner("m", works(model, *numbers))) == len(numbers)
        assert seen[-1][:, 49, 59].tolist() == list(numbers)
        assert engine.batches[-1].flags.c_contiguous
        assert engine.batches[-1].flags.writeable, "an engine need not copy it to read it"


def test_a_buffer_is_used_again() -> None:
    """One thread that computes needs one."""
    engine = FakeEngine()
    runner = BatchRunner()
    model = served_model(engine)
    for _ in range(3):
        runner("m", works(model, 1.0, 2.0))
    bases = {batch.__array_interface__["data"][0] for batch in engine.batches}
    assert len(bases) == 1


def test_calls_at_the_same_time_have_buffers_of_their_own() -> None:
    """A call that has not returned may still read its windows."""
    engine = FakeEngine()
    gate, entered = threading.Event(), threading.Event()

    def wait() -> None:
        if len(engine.batches) == 1:
            entered.set()
            assert gate.wait(30)

    engine.wait = wait
    runner = BatchRunner()
    model = served_model(engine)
    first = threading.Thread(target=runner, args=("m", works(model, 1.0)))
    first.start()
    assert entered.wait(30)
    runner("m", works(model, 2.0))
    assert engine.batches[0][0, 0, 0] == 1.0
    gate.set()
    first.join(30)


def test_a_failed_call_keeps_its_buffer() -> None:
    """It is unknown whether the engine still reads it."""
    engine = FakeEngine()
    engine.error = RuntimeError("broken")
    runner = BatchRunner()
    model = served_model(engine)
    with pytest.raises(RuntimeError):
        runner("m", works(model, 1.0))
    engine.error = None
    runner("m", works(model, 2.0))
    first, second = engine.batches
    assert not np.shares_memory(first, second)


def test_a_larger_batch_replaces_the_buffer() -> None:
    """Kept are as many as run at once, each as large as the largest batch so far, rounded up."""
    buffers = WindowBuffers()
    small = buffers.take(3, (50, 60))
    assert small.shape == (4, 50, 60)
    buffers.give_back(small)
    large = buffers.take(5, (50, 60))
    assert large.shape == (8, 50, 60)
    buffers.give_back(large)
    assert buffers.take(1, (50, 60)) is large
    assert buffers.take(1, (40, 60)).shape == (1, 40, 60)


class Clock:
    """Moves by one second at each look."""

    now = 0.0

    def __call__(self) -> float:
        """Tells the time."""
        self.now += 1.0
        return self.now


def test_each_call_is_told_with_its_times() -> None:
    """Before its rows are handed back, which belong to it; calls are numbered from 1."""
    told: list[BatchRun] = []
    runner = BatchRunner(told.append, clock=Clock())
    model = served_model()
    computed = runner("m", works(model, 1.0, 2.0))
    runner("m", works(model, 3.0))
    first, second = told
    assert (first.started_at, first.engine_started_at, first.engine_ended_at, first.ended_at) == (1.0, 2.0, 3.0, 4.0)
    assert (first.device_duration, first.model, first.size, first.failed) == (1.0, model, 2, False)
    assert all(one.batch is first for one in computed)
    assert (first.batch_id, second.batch_id, second.size) == (1, 2, 1)


def test_the_devices_own_clock_is_believed() -> None:
    """An engine that reads one tells the time of its last call."""

    class Timed(FakeEngine):
        device_seconds = 0.125

    told: list[BatchRun] = []
    BatchRunner(told.append)("m", works(served_model(Timed()), 1.0))
    assert told[0].device_duration == 0.125


def test_a_failed_call_is_told_too() -> None:
    """With the time until it failed; there is no answer to part."""
    engine = FakeEngine()
    engine.error = RuntimeError("broken")
    told: list[BatchRun] = []
    with pytest.raises(RuntimeError):
        BatchRunner(told.append, clock=Clock())("m", works(served_model(engine), 1.0))
    [run] = told
    assert (run.failed, run.started_at, run.engine_started_at) == (True, 1.0, 2.0)
    assert (run.engine_ended_at, run.ended_at, run.device_duration) == (3.0, 3.0, 1.0)


def test_a_call_knows_its_sampled_members() -> None:
    """Each once: a work's own, and those that have joined it and still wait, whether the work's is sampled or not."""
    traces = [TraceContext(trace_id=f"{n:032x}", span_id=f"{n:016x}", is_sampled=True) for n in range(1, 6)]
    shared = SharedTraces()
    told: list[BatchRun] = []
    model = served_model()
    alone, unsampled, sampled = works(model, 1.0, 2.0, 3.0)
    batch = [
        dataclasses.replace(alone, trace=traces[0]),
        dataclasses.replace(unsampled, share_key="a"),
        dataclasses.replace(sampled, share_key="b", trace=traces[1]),
    ]
    with (
        shared.waiting((model.sha256, "a"), traces[2]),
        shared.waiting((model.sha256, "b"), traces[1]),
        shared.waiting((model.sha256, "b"), traces[3]),
        shared.waiting((model.sha256, "elsewhere"), traces[4]),
    ):
        BatchRunner(told.append, shared_traces=shared)("m", batch)
    BatchRunner(told.append, shared_traces=shared)("m", batch)
    waited, gone = told
    assert waited.members == (traces[0], traces[2], traces[1], traces[3])
    assert gone.members == (traces[0], traces[1]), "one that is over is still the one whose window is computed"


def test_a_probe_is_one_only_alone() -> None:
    """A call that also serves requests counts as theirs."""
    told: list[BatchRun] = []
    probe, request = works(served_model(), 1.0, 2.0)
    probe = dataclasses.replace(probe, is_probe=True)
    for batch in ([probe], [probe, request]):
        BatchRunner(told.append)("m", batch)
    assert [run.is_probe for run in told] == [True, False]

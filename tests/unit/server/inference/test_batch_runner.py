"""Laws of the batch runner: one copy of each window, and no buffer is given to two calls at once."""

import threading

import numpy as np
import pytest

from server.inference.batch_runner import BatchRunner, WindowBuffers
from server.inference.predictor import Work
from server.models.served_model import ServedModel
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

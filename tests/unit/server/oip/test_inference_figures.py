"""Laws of the figures of the Open Inference Protocol: what has ended is summed up once, under its version."""

import dataclasses
import math

import pytest

from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome
from server.oip.inference_figures import InferenceFigures, Sum, VersionFigures
from server.oip.model_card import write_statistics
from server.refusal import Reason
from tests.support.ended_requests import answered, refused, rpc
from tests.support.fakes import served_model

NOW = 1_700_000_000.0
MODEL = served_model(version=3)


def run(size: int, **fields: object) -> BatchRun:
    """Returns an engine call of 1, 4 and 2 ms: gathering, computing, parting."""
    times = {"started_at": 100.003, "engine_started_at": 100.004, "engine_ended_at": 100.008, "ended_at": 100.010}
    values = {"batch_id": 1, "model": MODEL, "size": size, "device_duration": 0.004} | times | fields
    return BatchRun(**values)  # type: ignore[arg-type]  # the test's fields


def is_one(sums: Sum, seconds: float) -> bool:
    """Tells whether something has happened once, and took so long."""
    return sums.count == 1 and math.isclose(sums.seconds, seconds, abs_tol=1e-9)


@pytest.fixture
def figures() -> InferenceFigures:
    """Nothing has ended yet."""
    return InferenceFigures(wall_clock=lambda: NOW)


def test_a_computed_answer_is_counted_in_each_of_its_stages(figures: InferenceFigures) -> None:
    """Queue, input, engine and output follow one another; what the engine did for it is the whole call's time."""
    figures.request_ended(answered(model=MODEL, batch=run(2)))
    found = figures.of(MODEL.key)
    assert is_one(found.success, 0.010)
    assert is_one(found.queue, 0.001)
    assert is_one(found.input, 0.002)
    assert is_one(found.infer, 0.004)
    assert is_one(found.output, 0.002)
    assert (found.cached, found.fail, found.last_answer_at) == (Sum(), Sum(), NOW)


def test_an_answer_that_joined_a_running_call_has_no_negative_time(figures: InferenceFigures) -> None:
    """It may have come when the engine was at work already."""
    record = answered(model=MODEL, batch=run(1))
    assert record.answer is not None
    late = dataclasses.replace(record.answer.completion, enqueued_at=100.006)
    figures.request_ended(dataclasses.replace(record, answer=dataclasses.replace(record.answer, completion=late)))
    assert is_one(figures.of(MODEL.key).queue, 0.0)


def test_what_was_known_is_told_apart(figures: InferenceFigures) -> None:
    """Also an answer that is given again for its request's id."""
    figures.request_ended(answered(model=MODEL))
    figures.request_ended(answered(model=MODEL, answer=None, is_replay=True))
    found = figures.of(MODEL.key)
    assert (found.success.count, found.cached.count, found.infer.count) == (2, 2, 0)


def test_refused_requests_fail_and_cancelled_ones_do_not_count(figures: InferenceFigures) -> None:
    """One that was refused before its version was known is nobody's."""
    figures.request_ended(refused(Reason.QUEUE_FULL, model=MODEL))
    figures.request_ended(refused(None, model=MODEL, outcome=Outcome.CANCELLED))
    figures.request_ended(refused(Reason.MALFORMED_MESSAGE))
    figures.rpc_ended(rpc())
    found = figures.of(MODEL.key)
    assert is_one(found.fail, 0.001)
    assert (found.success, found.last_answer_at) == (Sum(), 0.0)


def test_engine_calls_are_counted_by_their_size(figures: InferenceFigures) -> None:
    """Neither those that failed nor the health check's own."""
    for call in (run(4), run(4), run(1), run(2, failed=True), run(1, is_probe=True)):
        figures.batch_ended(call)
    told = write_statistics(MODEL.key, figures.of(MODEL.key), memory_bytes=0)
    assert (told.inference_count, told.execution_count) == (9, 3)
    assert [(batch.batch_size, batch.compute_infer.count) for batch in told.batch_stats] == [(1, 1), (4, 2)]
    assert told.batch_stats[1].compute_infer.ns == pytest.approx(8e6)
    assert not told.memory_usage


def test_a_copy_does_not_follow(figures: InferenceFigures) -> None:
    """Who reads the figures has them as they were; a version without a past has none."""
    figures.batch_ended(run(1))
    before = figures.of(MODEL.key)
    figures.batch_ended(run(1))
    assert before.batches[1].infer.count == 1
    assert figures.of(("nobody", 1)) == VersionFigures()

"""What each record counts as: labels, deadlines, buckets; and that nothing a caller sends becomes a label."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from batching import PriorityClass
from server.call import Call
from server.observation.request_record import RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.rpc.errors import CODES
from server.telemetry.instruments import Instruments
from server.telemetry.metric_catalogue import MODEL_LOADED
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.metrics import Exposition
from server.telemetry.request_metrics import RequestMetrics
from tests.support import ended_records as ended
from tests.support.fakes import served_model
from tests.support.registry import NAME
from tests.support.scraped import Scraped


def answered(**fields: Any) -> RequestRecord:
    """Returns a request that took 28 ms, a second less 28 ms before its deadline; given fields are replaced."""
    return dataclasses.replace(ended.answered(None), **fields)


def refused(reason: Reason, **fields: Any) -> RequestRecord:
    """Returns one that was refused."""
    return dataclasses.replace(ended.ended(None, reason=reason), **fields)


class Counting:
    """An observer, and what others see of it.

    Attributes:
        observer: The observer.
        instruments: Where it counts.
    """

    def __init__(self, path: Path) -> None:
        folder = MetricFolder(path)
        self.instruments = Instruments()
        self.instruments.open(folder)
        for version in ("1", "2"):
            self.instruments.gauge(MODEL_LOADED, NAME, version).set(1)
        self.observer = RequestMetrics(self.instruments, lambda reason: CODES[reason].name)
        self._page = Exposition(folder, pause=lambda _: None)

    def scrape(self) -> Scraped:
        """Reads what was counted."""
        return Scraped(self._page()[0])


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    """An observer that counts in a folder of the test's."""
    return Counting(tmp_path)


def test_an_answer_is_counted_with_all_its_times(counting: Counting) -> None:
    """Duration, slack, queue and stages are those of the record, each once."""
    counting.observer.request_ended(answered())
    page = counting.scrape()
    kind = {"method": "Predict", "class": "real_time", "model": NAME, "version": "1"}
    assert page.value("tickserve_requests_total", code="OK", reason="", **kind) == 1
    assert page.value("tickserve_request_duration_seconds_sum", **kind) == pytest.approx(0.028)
    assert page.value("tickserve_request_duration_seconds_bucket", le="0.02", **kind) == 0
    assert page.value("tickserve_request_duration_seconds_bucket", le="0.03", **kind) == 1
    assert page.value("tickserve_deadline_slack_seconds_sum") == pytest.approx(0.972)
    assert page.value("tickserve_queue_duration_seconds_sum") == pytest.approx(0.003)
    names = ("decode", "admit", "queue", "gather", "inference", "scatter", "encode")
    for stage, seconds in zip(names, ended.STAGES, strict=True):
        assert page.value("tickserve_stage_duration_seconds_sum", stage=stage) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (Reason.EXPIRED_IN_QUEUE, "late_queue"),
        (Reason.EXPIRED_IN_EXECUTION, "late_execution"),
        (Reason.QUEUE_FULL, "refused"),
        (Reason.PREDICTED_DEADLINE_MISS, "refused"),
        (Reason.DISPLACED, "displaced"),
        (Reason.DRAINING, "refused"),
        (Reason.INFERENCE_FAILED, "failed"),
    ],
)
def test_what_became_of_the_deadline(counting: Counting, reason: Reason, outcome: str) -> None:
    """Each end that is the service's own counts by class and kind of miss, and none as goodput."""
    counting.observer.request_ended(refused(reason, priority=PriorityClass.REAL_TIME))
    page = counting.scrape()
    labels = {"class": "real_time", "outcome": outcome}
    assert page.value("tickserve_deadline_total") == page.value("tickserve_deadline_total", **labels) == 1
    assert page.value("tickserve_goodput_total") == 0
    is_shed = reason in (Reason.QUEUE_FULL, Reason.PREDICTED_DEADLINE_MISS, Reason.DISPLACED)
    assert page.value("tickserve_shed_total", reason=reason.name) == is_shed
    assert page.value("tickserve_request_duration_seconds_count") == 0, "a refusal is quick and is no latency"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_code(counting: Counting, reason: Reason) -> None:
    """The code is the one on the wire; the callers' own mistakes are no deadline's end."""
    counting.observer.request_ended(refused(reason))
    page = counting.scrape()
    assert page.value("tickserve_requests_total", code=CODES[reason].name, reason=reason.name) == 1
    if CODES[reason].name in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ALREADY_EXISTS"):
        assert page.value("tickserve_deadline_total") == 0


def test_cancelled_requests_count_by_what_was_ended(counting: Counting) -> None:
    """A call and a stream are told apart; both are no miss and no answer."""
    for kind in RequestKind:
        counting.observer.request_ended(ended.ended(None, reason=None, kind=kind))
    page = counting.scrape()
    assert page.value("tickserve_cancelled_total", reason="call") == 2
    assert page.value("tickserve_cancelled_total", reason="stream") == 2
    assert page.value("tickserve_requests_total", code="CANCELLED") == 4
    assert page.value("tickserve_deadline_total", outcome="cancelled") == 4


def test_answers_given_again_are_answers(counting: Counting) -> None:
    """A replay has no times but its own, and counts in time; of what version it was need not be known any more."""
    counting.observer.request_ended(answered(answer=None, batch=None, is_replay=True))
    counting.observer.request_ended(answered(answer=None, batch=None, is_replay=True, model=None))
    page = counting.scrape()
    assert page.value("tickserve_goodput_total") == page.value("tickserve_deadline_total", outcome="in_time") == 2
    assert page.value("tickserve_requests_total", code="OK") == 2
    assert page.value("tickserve_stage_duration_seconds_count") == 0


def test_what_callers_send_never_becomes_a_label(counting: Counting) -> None:
    """Methods that nobody wrote down are `other`; symbols, callers and request ids are nowhere."""
    odd = Call(method="/odd.Service/Odd", received_at=1.0, caller="somebody")
    for record in (answered(), refused(Reason.QUEUE_FULL)):
        told = dataclasses.replace(record, call=odd, symbol="TICK1", request_id="id1")
        counting.observer.request_ended(told)
    counting.observer.rpc_ended(RpcRecord(call=odd, code="OK", ended_at=2.0))
    page = counting.scrape()
    assert page.value("tickserve_requests_total", method="other") == 2
    assert page.value("tickserve_rpcs_total", method="other") == 1
    assert not {"odd", "TICK1", "id1", "somebody"} & set(page.text.replace('"', " ").split())
    assert "Odd" not in page.text


def test_engine_calls_count_and_probes_do_not(counting: Counting) -> None:
    """A failed call is a batch without a duration; the health check's own is none at all."""
    counting.observer.batch_ended(ended.batch_run())
    counting.observer.batch_ended(ended.batch_run(failed=True))
    counting.observer.batch_ended(dataclasses.replace(ended.batch_run(), is_probe=True))
    page = counting.scrape()
    version = {"model": NAME, "version": "1"}
    assert page.value("tickserve_batches_total", **version) == 2
    assert page.value("tickserve_batch_failures_total", **version) == 1
    assert page.value("tickserve_inference_duration_seconds_count", **version) == 1
    assert page.value("tickserve_inference_duration_seconds_sum", **version) == pytest.approx(ended.STAGES[4])
    assert page.value("tickserve_batch_size_bucket", le="2.0", **version) == 0
    assert page.value("tickserve_batch_size_bucket", le="4.0", **version) == 1


def test_a_version_that_left_and_came_back_goes_on_counting(counting: Counting) -> None:
    """Its series were given up meanwhile: nothing is counted into the old ones, and the totals are those of both."""
    model = served_model(version=2)

    def count() -> None:
        counting.observer.request_ended(answered(model=model))
        counting.observer.request_ended(refused(Reason.QUEUE_FULL, model=model))
        counting.observer.batch_ended(ended.batch_run(model=model))

    count()
    for now in (0.0, 60.0):
        counting.instruments.retire_but({(NAME, "1")}, now)
    assert counting.scrape().value("tickserve_requests_total", version="2") == 0, "nobody holds it"
    count()
    counting.instruments.gauge(MODEL_LOADED, NAME, "2").set(1)
    page = counting.scrape()
    assert page.value("tickserve_requests_total", version="2", code="OK") == 2
    assert page.value("tickserve_requests_total", version="2", reason="QUEUE_FULL") == 2
    assert page.value("tickserve_batches_total", version="2") == 2

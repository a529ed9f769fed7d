"""Rules and dashboard ask for metrics that the service has, by labels that these have."""

import pytest

from server.telemetry.metric_catalogue import METRICS
from tests.support.deployed import expressions, recordings
from tests.support.promql import grouping_labels, mistakes, selectors

LABELS = {metric.name: frozenset(metric.labels) for metric in METRICS}
RECORDED = frozenset(recordings())


@pytest.mark.parametrize(("name", "expr"), [pytest.param(*each, id=each[0]) for each in expressions()])
def test_every_series_and_label_exists(name: str, expr: str) -> None:
    """A panel or an alert about a metric that nobody writes would say for ever that all is well."""
    assert mistakes(expr, LABELS, RECORDED) == []
    assert list(selectors(expr)), name


def test_every_recorded_series_is_used() -> None:
    """What is recorded is asked for by an alert, a panel or another recording."""
    asked = {selector.name for _, expr in expressions() for selector in selectors(expr)}
    assert RECORDED - asked == set()


def test_the_dashboard_shows_every_metric() -> None:
    """Each metric of the service stands in a panel, an alert or a recording: else nobody would look at it."""
    asked = {selector.name for _, expr in expressions() for selector in selectors(expr)}
    families = {name.removesuffix(suffix) for name in asked for suffix in ("", "_bucket", "_sum", "_count")}
    assert {metric.name for metric in METRICS} - families == set()


def test_a_name_that_does_not_exist_is_found() -> None:
    """The check finds a misspelt metric, a label of another metric, and a grouping by nothing."""
    assert mistakes("rate(tickserve_goodputs_total[5m])", LABELS, RECORDED) == [
        "tickserve_goodputs_total: there is no such series"
    ]
    assert mistakes('tickserve_goodput_total{reason="x"}', LABELS, RECORDED) == [
        "tickserve_goodput_total has no label reason"
    ]
    assert mistakes("sum by (method) (tickserve_goodput_total)", LABELS, RECORDED) == [
        "nothing here has a label method"
    ]
    assert mistakes("job_class:tickserve_goodput:rate1y", LABELS, RECORDED) == [
        "job_class:tickserve_goodput:rate1y: there is no such series"
    ]
    assert mistakes("tickserve_batch_size_bucket{le='1'}", LABELS, RECORDED) == []
    assert grouping_labels("sum by (job, class) (a) / on (job) group_left (b) c") == {"job", "class", "b"}

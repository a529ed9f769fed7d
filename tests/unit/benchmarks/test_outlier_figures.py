"""Laws of the figures of calls while replicas come and go, and of how HAProxy's log is read."""

import pytest

from benchmarks.outlier import report
from benchmarks.outlier.callers import Called
from benchmarks.outlier.figures import summarise
from benchmarks.outlier.proxy_log import ProxyLine, parse

LINE = (
    "<134>Nov 22 09:29:37 haproxy[13002]: 127.0.0.1:46664 [22/Nov/2026:09:29:36.584] grpc_frontend "
    "grpc-tickserve/SERVE_REPLICA_tickserve-predictor-2dh18f4h 1/2/3/73/79 200 1234 - - ---- 8/8/7/3/+1 0/0 "
    '"POST http://x/tickserve.v1.PredictionService/Predict HTTP/2.0"'
)


def line(
    at: float, *, total: float, server: str = "SERVE_REPLICA_a", retries: int = 0, ending: str = "----"
) -> ProxyLine:
    """Returns a line of the log, of a call that took all its time in the replica."""
    return ProxyLine(
        pid=1,
        at=at,
        client_port=1,
        server=server,
        request=0.0,
        queue=0.0,
        connect=0.0,
        response=total,
        total=total,
        status=200,
        ending=ending,
        retries=retries,
    )


def called(at: float, seconds: float, failure: str = "") -> Called:
    """Returns a call."""
    return Called(at=at, seconds=seconds, channel=0, replica="" if failure else "a", failure=failure)


def test_a_line_is_read() -> None:
    """Times are seconds; a redispatched call's sign is no part of its number."""
    read = parse(LINE)
    assert read is not None
    assert (read.pid, read.client_port, read.server) == (13002, 46664, "SERVE_REPLICA_tickserve-predictor-2dh18f4h")
    assert (read.request, read.queue, read.connect, read.response, read.total) == (0.001, 0.002, 0.003, 0.073, 0.079)
    assert (read.status, read.ending, read.retries) == (200, "----", 1)
    assert read.at % 1 == pytest.approx(0.584, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "Server grpc-tickserve/x is DOWN", LINE.replace("grpc_frontend", "http_frontend"), LINE[:120]]
)
def test_other_lines_are_none(text: str) -> None:
    """Notices, HTTP's calls and torn lines are no gRPC calls."""
    assert parse(text) is None


def test_failures_and_calls_without_a_replica_are_counted() -> None:
    """Percentiles are of the answered; the time without a replica is from the first to the last such call."""
    calls = [called(0, 0.01), called(1, 0.02), called(2, 5.0, "MODEL_LOADING")]
    lines = [
        line(0, total=0.01),
        line(1.5, total=0.001, server="x-fallback-y"),
        line(4, total=0.1, server="x-fallback-y"),
    ]
    figures = summarise(calls, [*lines, line(5, total=1, retries=2, ending="SH--")], retries=7)
    assert (figures["calls"], figures["failed"], figures["failures"]) == (3, 1, {"MODEL_LOADING": 1})
    assert (figures["median"], figures["p999"], figures["slowest"]) == (0.01, 0.02, 5.0)
    assert (figures["to_fallback"], figures["seconds_without_replica"]) == (2, 2.5)
    assert (figures["refused_connections"], figures["ended_badly"], figures["retries"]) == (2, 1, 7)


def test_the_slowest_call_has_its_place() -> None:
    """By the log's longest line within it; a call that HAProxy never saw has none."""
    calls = [called(0, 3.0), called(10, 1.0), called(0.5, 0.1)]
    lines = [line(0.4, total=2.5), line(0.5, total=0.05), line(2.9, total=9)]
    first, second, _ = summarise(calls, lines, retries=0)["slowest_calls"]
    assert (first["seconds"], first["before_proxy"], first["replica"]) == (3.0, 0.4, 2.5)
    assert second == {"seconds": 1.0}


def test_the_report_says_what_failed() -> None:
    """Failures by reason, and the fallback's calls with their time."""
    figures = summarise([called(0, 0.01), called(2, 5.0, "MODEL_LOADING")], [], retries=0)
    figures |= {
        "name": "update",
        "title": "an update",
        "proxy_reloads": 2,
        "to_fallback": 1,
        "seconds_without_replica": 5.2,
    }
    text = report.write({"machine": {"date": "today"}, "command": "x", "scenarios": [figures]})
    assert "1 (MODEL_LOADING 1)" in text
    assert "1, over 5.2 s" in text

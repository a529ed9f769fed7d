"""docs/metrics.md names every metric with its labels, and no other."""

import re

from scripts.layering import ROOT
from server.telemetry.metric_catalogue import METRICS

DOCUMENT = ROOT / "docs/metrics.md"
ROW = re.compile(r"^\| `(tickserve_\w+)` \|([^|]*)\| *\S", re.MULTILINE)


def test_the_page_is_the_catalogue() -> None:
    """Each metric has one row with its labels in order, and something to read from it."""
    rows = [
        (name, tuple(filter(None, labels.strip().split(", ")))) for name, labels in ROW.findall(DOCUMENT.read_text())
    ]
    assert sorted(rows) == sorted((metric.name, metric.labels) for metric in METRICS)


def test_the_page_speaks_of_nothing_else() -> None:
    """Every name of ours anywhere on the page is a metric's, or one of a histogram's series."""
    suffixes = {"", "_bucket", "_sum", "_count"}
    known = {metric.name + suffix for metric in METRICS for suffix in (suffixes if metric.bounds else {""})}
    assert set(re.findall(r"tickserve_\w+", DOCUMENT.read_text())) <= known


def test_the_original_designs_metrics_have_their_place() -> None:
    """Each name that the platform's documents give is in the left column of the last table."""
    text = DOCUMENT.read_text()
    table = text[text.index("## Names of the original design") :]
    names = (
        "batch_optimized_requests_total",
        "batch_optimized_latency_seconds",
        "batch_optimized_batch_size",
        "batch_optimized_gpu_utilization_percent",
        "batch_optimized_cpu_utilization_percent",
        "batch_optimized_memory_utilization_percent",
        "batch_optimized_errors_total",
        "batch_optimized_adaptive_batch_size",
        "batch_optimized_wait_time_seconds",
        "enhanced_cnn_lstm_requests_total",
        "enhanced_cnn_lstm_latency_seconds",
        "enhanced_cnn_lstm_batch_size",
        "enhanced_cnn_lstm_gpu_utilization_percent",
        "enhanced_cnn_lstm_errors_total",
        "cnn_lstm_prediction_requests_total",
        "cnn_lstm_prediction_latency_seconds",
        "cnn_lstm_prediction_errors_total",
        "cnn_lstm_gpu_utilization_percent",
        "cnn_lstm_replicas_total",
        "model_predictions_total",
        "prediction_latency_ms",
        "model_prediction_errors_total",
    )
    left = "".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `"))
    assert [name for name in names if f"`{name}" not in left] == []

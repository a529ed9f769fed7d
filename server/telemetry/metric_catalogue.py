"""Every metric of the service. Owns names, labels, units and buckets; docs/metrics.md says what to read from each."""

from __future__ import annotations

from batching import CostAccuracy
from server.telemetry.metric import Kind, Merge, Metric

# From 100 us; 2 ms apart where a prediction usually lies; 50 ms and 100 ms are limits that objectives name.
DURATIONS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
# An answer that was ready in time may leave a little late: what is at most 0 was.
SLACKS = (0.0, *DURATIONS)
BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0)

_METRICS: list[Metric] = []


def _add(metric: Metric) -> Metric:
    _METRICS.append(metric)
    return metric


def _counter(name: str, text: str, *labels: str) -> Metric:
    return _add(Metric(name=f"tickserve_{name}", kind=Kind.COUNTER, help=text, labels=labels))


def _gauge(name: str, text: str, *labels: str, merge: Merge = Merge.SUM) -> Metric:
    return _add(Metric(name=f"tickserve_{name}", kind=Kind.GAUGE, help=text, labels=labels, merge=merge))


def _histogram(name: str, text: str, *labels: str, bounds: tuple[float, ...] = DURATIONS) -> Metric:
    return _add(Metric(name=f"tickserve_{name}", kind=Kind.HISTOGRAM, help=text, labels=labels, bounds=bounds))


# Requests, each counted when it ends.
REQUESTS = _counter(
    *("requests_total", "Prediction requests that ended, by gRPC code and reason."),
    *("method", "class", "code", "reason", "model", "version"),
)
REQUEST_DURATION = _histogram(
    *("request_duration_seconds", "From receipt to the reply, of answered requests."),
    *("method", "class", "model", "version"),
)
QUEUE_DURATION = _histogram("queue_duration_seconds", "In the queue, of answered requests that were computed.", "class")
STAGE_DURATION = _histogram(
    "stage_duration_seconds", "Where the time of answered requests that were computed went.", "stage"
)
DEADLINE = _counter("deadline_total", "Requests of a known class by what became of their deadline.", "class", "outcome")
GOODPUT = _counter("goodput_total", "Requests answered in time.", "class")
DEADLINE_SLACK = _histogram(
    "deadline_slack_seconds", "Time left until the deadline when the reply was ready.", "class", bounds=SLACKS
)
SHED = _counter("shed_total", "Requests turned away for lack of capacity, by reason.", "class", "reason")
CANCELLED = _counter("cancelled_total", "Requests that their callers gave up, by what they ended.", "class", "reason")
RPCS = _counter("rpcs_total", "RPCs that ended, by gRPC code.", "method", "code")

# Callers.
UNAUTHENTICATED = _counter("unauthenticated_total", "Calls refused before they were counted as RPCs.", "reason")
API_KEYS = _gauge("api_keys", "API keys in force, expired ones among them.", merge=Merge.MAX)
API_KEYS_STALE = _gauge("api_keys_stale", "1 where the file of API keys cannot be read; former keys hold.", "replica")
HALTS = _gauge("halts", "Halts in force, by what they stop.", "scope", merge=Merge.MAX)
HALTS_STALE = _gauge(
    "halts_stale", "1 where the store of the halts cannot be read; the last known ones hold.", "replica"
)

# Engine.
INFERENCE_DURATION = _histogram("inference_duration_seconds", "Device time of one engine call.", "model", "version")
BATCH_SIZE = _histogram("batch_size", "Windows of one engine call.", "model", "version", bounds=BATCH_SIZES)
BATCHES = _counter("batches_total", "Engine calls, failed ones included.", "model", "version")
BATCH_FAILURES = _counter("batch_failures_total", "Engine calls that failed.", "model", "version")

# Scheduler.
QUEUE_SIZE = _gauge("queue_size", "Requests that wait.", "class")
QUEUE_AGE = _gauge("queue_age_seconds", "How long the oldest request has waited.", "class", merge=Merge.MAX)
BATCH_LIMIT = _gauge("batch_limit", "How many windows a batch may hold now.", "model", "version", merge=Merge.MAX)
COST_RATIO = _histogram(
    "cost_ratio", "A batch's duration divided by its prediction.", "model", "version", bounds=CostAccuracy.BOUNDS
)
IDLE_WITH_QUEUE = _counter("idle_with_queue_seconds_total", "Time that the engine was idle while a request waited.")
PROMOTED = _counter("promoted_total", "Requests that waited so long that they gained a claim to be served.")

# Answers that are known, models, routes.
CACHE_REQUESTS = _counter("cache_requests_total", "Look-ups for a known answer.", "level", "result")
CACHE_BYTES = _gauge("cache_bytes", "Memory that known answers take.")
MODEL_LOADED = _gauge("model_loaded", "Replicas that hold the version in memory.", "model", "version")
ROUTE_REQUESTS = _counter("route_requests_total", "Calls to an arm of a route, by end.", "model", "arm", "outcome")
ROUTE_COMPARISONS = _counter("route_comparisons_total", "Answers compared with another version's.", "model", "arm")
ROUTE_DISAGREEMENTS = _counter(
    "route_disagreements_total", "Compared answers with another likeliest class.", "model", "arm"
)

# Streams and windows.
STREAMS = _gauge("streams", "Open streams.", "method")
SYMBOLS = _gauge("symbols", "Symbols whose windows are kept.")
TICKS = _counter("ticks_total", "Ticks received, by what became of them.", "result")
CONFLATED = _counter("conflated_total", "Pending predictions that a newer one of their symbol replaced.")
RESUMED = _counter("resumed_total", "Symbols that a returning client resumed.")
STORE_FAILURES = _counter("window_store_failures_total", "Writes to the window store that failed and were repeated.")

# Replicas.
REPLICA_INFO = _gauge("replica_info", "1 for each living replica, with the server's version.", "replica", "version")
REPLICA_UPTIME = _gauge("replica_uptime_seconds", "Since the replica began to start.", "replica")
REPLICA_MEMORY = _gauge("replica_memory_bytes", "Resident memory of the replica's process.", "replica")
REPLICA_CPU = _counter("replica_cpu_seconds_total", "CPU time of the replicas' processes, user and system.")
DEVICE_UTILISATION = _gauge("device_utilisation_ratio", "How busy a device is, 0 to 1.", "device", merge=Merge.MAX)
DEVICE_MEMORY = _gauge("device_memory_bytes", "Memory in use on a device, by anybody.", "device", merge=Merge.MAX)
LOOP_LAG = _gauge("event_loop_lag_seconds", "Most that the event loop was late in the last ten seconds.", "replica")
LOOP_DELAY = _histogram("event_loop_delay_seconds", "How late the event loop was, measured at regular intervals.")
DEEP_HEALTH = _gauge(
    "deep_health_state", "The deep check's verdict: 0 unknown, 1 unhealthy, 2 degraded, 3 healthy.", "replica"
)

# Telemetry itself.
SPANS_EXPORTED = _counter("spans_exported_total", "Spans that the collector took.")
SPANS_DROPPED = _counter("spans_dropped_total", "Spans that were not exported.")
DECISIONS = _counter("decision_log_records_total", "Records of the decision log.", "result")
OBSERVER_FAILURES = _counter("observer_failures_total", "Failures of metrics, traces or logs to note what happened.")

METRICS: tuple[Metric, ...] = tuple(_METRICS)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

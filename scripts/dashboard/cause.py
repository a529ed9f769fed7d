"""Fourth row: why? What each part says of itself: cost model, cache, arms, stores, exporters, devices."""

from scripts.dashboard.panel import Panel, Query, Row
from scripts.dashboard.promql import highest, quantile, rate, ratio, total

_VERSION = "model, version"
_VERSION_LEGEND = "{{model}}:{{version}}"

CAUSE = Row(
    title="4. Why?",
    panels=(
        Panel(
            title="Cost model",
            description=(
                "A batch's duration divided by its prediction. p50 belongs at 1. For minutes above: the engine became "
                "slower than the model has learned, too much is admitted. Below: too much is refused. p90 far above "
                "p50: something takes the processor away at times."
            ),
            unit="none",
            decimals=2,
            steps=((None, "green"), (1.5, "orange")),
            queries=(
                Query(expr=quantile(0.5, "tickserve_cost_ratio", _VERSION), legend=f"p50 {_VERSION_LEGEND}"),
                Query(expr=quantile(0.9, "tickserve_cost_ratio", _VERSION), legend=f"p90 {_VERSION_LEGEND}"),
            ),
        ),
        Panel(
            title="Batch limit",
            description=(
                "How many windows a batch may hold now, by the cost model and max_batch_duration. It falls: the "
                "engine is slower, or thought to be."
            ),
            unit="none",
            queries=(Query(expr=highest("tickserve_batch_limit", _VERSION), legend=_VERSION_LEGEND),),
        ),
        Panel(
            title="Idle with a queue",
            description=(
                "Part of the time in which the engine did nothing while a request waited, all replicas together. Near "
                "0 by design. Above 0.1 with a full queue: the event loop does not hand out work (*Event loop lag*)."
            ),
            unit="percentunit",
            queries=(Query(expr=rate("tickserve_idle_with_queue_seconds_total"), legend="idle"),),
        ),
        Panel(
            title="Promoted",
            description=(
                "Requests that waited past their class's max_wait. A few: starvation is bounded, as it should be."
            ),
            unit="reqps",
            queries=(Query(expr=rate("tickserve_promoted_total"), legend="promoted"),),
        ),
        Panel(
            title="Cache hits",
            description=(
                "Part of the look-ups that found a known answer. It falls to 0 and the load on the engine rises: "
                "callers ask for new windows, or cache.ttl is too short."
            ),
            unit="percentunit",
            most=1,
            queries=(
                Query(
                    expr=ratio(
                        rate("tickserve_cache_requests_total", "level", 'result="hit"'),
                        rate("tickserve_cache_requests_total", "level"),
                    ),
                    legend="{{level}}",
                ),
            ),
        ),
        Panel(
            title="Cache memory",
            description="What known answers take, all replicas together; bounded by cache.max_bytes a replica.",
            unit="bytes",
            queries=(Query(expr=total("tickserve_cache_bytes"), legend="bytes"),),
        ),
        Panel(
            title="Stores that fail",
            description=(
                "`windows`: the Redis of the windows does not take writes; nothing becomes durable, new streams are "
                "refused. `cache`: the shared cache does not answer; it costs its hits."
            ),
            unit="ops",
            queries=(
                Query(expr=rate("tickserve_window_store_failures_total"), legend="windows"),
                Query(
                    expr=rate("tickserve_cache_requests_total", where='level="shared", result="error"'),
                    legend="cache",
                ),
            ),
        ),
        Panel(
            title="API keys",
            description=(
                "Keys in force. `stale` above 0: so many replicas cannot read the file of keys. The former keys "
                "hold: those added since are unknown, those revoked still open. The log says why."
            ),
            unit="none",
            queries=(
                Query(expr=highest("tickserve_api_keys"), legend="keys"),
                Query(expr=total("tickserve_api_keys_stale"), legend="stale"),
            ),
        ),
        Panel(
            title="Arms",
            description=(
                "Calls to each arm of a route, by end. `error` or `late` at the candidate and not at stable: the "
                "version. At both: not the version. The candidate's line ends: it was rolled back."
            ),
            unit="reqps",
            queries=(
                Query(
                    expr=rate("tickserve_route_requests_total", "model, arm, outcome"),
                    legend="{{model}} {{arm}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Disagreement",
            description=(
                "Of the compared answers, those with another likeliest class than stable's. What is normal is what "
                "the shadow showed (docs/rollout.md); a jump is a version that was made from other data, or is "
                "broken."
            ),
            unit="percentunit",
            most=1,
            queries=(
                Query(
                    expr=ratio(
                        rate("tickserve_route_disagreements_total", "model, arm"),
                        rate("tickserve_route_comparisons_total", "model, arm"),
                    ),
                    legend="{{model}} {{arm}}",
                ),
            ),
        ),
        Panel(
            title="Versions loaded",
            description=(
                "Replicas that hold a version. One has fewer than the others: it was loaded, or failed, in part."
            ),
            unit="none",
            queries=(Query(expr=total("tickserve_model_loaded", _VERSION), legend=_VERSION_LEGEND),),
        ),
        Panel(
            title="Conflated and resumed",
            description=(
                "`conflated`: pending predictions that a newer one of their symbol replaced: ticks come faster than "
                "the engine computes. `resumed`: symbols that clients came back with: something broke their streams."
            ),
            unit="ops",
            queries=(
                Query(expr=rate("tickserve_conflated_total"), legend="conflated"),
                Query(expr=rate("tickserve_resumed_total"), legend="resumed"),
            ),
        ),
        Panel(
            title="Exporters",
            description=(
                "Spans that the collector took or that were dropped, and records of the decision log likewise. "
                "Anything dropped: the collector or the disk; requests are unharmed, the record has holes."
            ),
            unit="ops",
            queries=(
                Query(expr=rate("tickserve_spans_exported_total"), legend="spans exported"),
                Query(expr=rate("tickserve_spans_dropped_total"), legend="spans dropped"),
                Query(expr=rate("tickserve_decision_log_records_total", "result"), legend="decisions {{result}}"),
                Query(expr=rate("tickserve_observer_failures_total"), legend="observer failures"),
            ),
        ),
        Panel(
            title="Device",
            description=(
                "How busy each device is. A GPU: near 1 is saturated. The processor: shared with everything else."
            ),
            unit="percentunit",
            most=1,
            queries=(Query(expr=highest("tickserve_device_utilisation_ratio", "device"), legend="{{device}}"),),
        ),
        Panel(
            title="Device memory",
            description=(
                "In use on each device, by anybody. A GPU near its size: batches are halved when it is exceeded."
            ),
            unit="bytes",
            queries=(Query(expr=highest("tickserve_device_memory_bytes", "device"), legend="{{device}}"),),
        ),
    ),
)

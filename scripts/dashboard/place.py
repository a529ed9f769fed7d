"""Third row: where? Stages of a request, queue, batches, replicas, streams."""

from scripts.dashboard.panel import Panel, Query, Row
from scripts.dashboard.promql import highest, mean, quantile, rate, series, total

PLACE = Row(
    title="3. Where?",
    panels=(
        Panel(
            title="Stages, mean",
            description=(
                "Where the time of an answered request went: they add up to the whole. `queue` grows: too much work, "
                "or too slow an engine (see `inference`). `inference` grows: engine or machine. `decode`, `admit`, "
                "`scatter`, `encode` grow: the event loop (*Event loop lag*)."
            ),
            unit="s",
            stacked=True,
            queries=(Query(expr=mean("tickserve_stage_duration_seconds", "stage"), legend="{{stage}}"),),
        ),
        Panel(
            title="Stages, p99",
            description=(
                "The same for the slow ones. A stage that is high here and low on the left is disturbed at times."
            ),
            unit="s",
            log=True,
            queries=(Query(expr=quantile(0.99, "tickserve_stage_duration_seconds", "stage"), legend="{{stage}}"),),
        ),
        Panel(
            title="Queue wait, p99",
            description="In the queue, of answered and computed requests. real_time belongs near one batch's duration.",
            unit="s",
            log=True,
            queries=(Query(expr=quantile(0.99, "tickserve_queue_duration_seconds", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="Queue size",
            description=(
                "Requests that wait, all replicas together. Background may stand high for hours; real_time belongs "
                "near 0."
            ),
            queries=(Query(expr=total("tickserve_queue_size", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="Queue age",
            description=(
                "How long the oldest one waits. It rises a second a second: nothing is taken out, the engine hangs. "
                "It stands at a height: that is what this class waits."
            ),
            unit="s",
            queries=(Query(expr=highest("tickserve_queue_age_seconds", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="Engine time",
            description=(
                "Device time of one engine call, by version. Up with *Batch size*: larger batches, nothing else. Up "
                "while that stands: the engine is slower than it was."
            ),
            unit="s",
            log=True,
            queries=(
                Query(
                    expr=quantile(0.5, "tickserve_inference_duration_seconds", "model, version"),
                    legend="p50 {{model}}:{{version}}",
                ),
                Query(
                    expr=quantile(0.99, "tickserve_inference_duration_seconds", "model, version"),
                    legend="p99 {{model}}:{{version}}",
                ),
            ),
        ),
        Panel(
            title="Batch size",
            description=(
                "Mean windows of one engine call. Near 1: nobody waits. At *Batch limit*: the engine is saturated."
            ),
            unit="none",
            queries=(Query(expr=mean("tickserve_batch_size", "model, version"), legend="{{model}}:{{version}}"),),
        ),
        Panel(
            title="Batches",
            description="Engine calls a second. Zero while *Queue size* is above zero: the engine hangs.",
            unit="ops",
            queries=(
                Query(expr=rate("tickserve_batches_total", "model, version"), legend="{{model}}:{{version}}"),
                Query(
                    expr=rate("tickserve_batch_failures_total", "model, version"), legend="failed {{model}}:{{version}}"
                ),
            ),
        ),
        Panel(
            title="Engines busy",
            description=(
                "How many engines compute on average. The number of replicas is all there is: at it, only more "
                "replicas, or less work, help."
            ),
            unit="none",
            queries=(Query(expr=rate("tickserve_inference_duration_seconds_sum"), legend="busy"),),
        ),
        Panel(
            title="Event loop lag",
            description=(
                "By replica: most that its event loop was late within the last ten seconds. `p99 of all` says whether "
                "that lasts: 50 ms and more there, and something blocks the loop of the replica that stands out; all "
                "stand out: the machine has no processor left."
            ),
            unit="s",
            queries=(
                Query(expr=highest("tickserve_event_loop_lag_seconds", "replica"), legend="{{replica}}"),
                Query(expr=quantile(0.99, "tickserve_event_loop_delay_seconds"), legend="p99 of all"),
            ),
        ),
        Panel(
            title="Uptime by replica",
            description=(
                "A line that ends and another one that starts at 0: a replica was replaced. Many short ones: they die "
                "again and again."
            ),
            unit="s",
            queries=(Query(expr=highest("tickserve_replica_uptime_seconds", "replica"), legend="{{replica}}"),),
        ),
        Panel(
            title="Processor",
            description="Cores that the replicas use, together. At the machine's number of cores: everything waits.",
            unit="none",
            queries=(Query(expr=rate("tickserve_replica_cpu_seconds_total"), legend="cores"),),
        ),
        Panel(
            title="Memory by replica",
            description=(
                "Resident. Steady growth over hours at steady load is a leak; a step is a version that was loaded."
            ),
            unit="bytes",
            queries=(Query(expr=highest("tickserve_replica_memory_bytes", "replica"), legend="{{replica}}"),),
        ),
        Panel(
            title="Streams and symbols",
            description=(
                "Open streams by method, and symbols whose windows are kept. Streams fall to 0 at once: a replica or "
                "the proxy is gone, clients come back. A saw's tooth: they were asked to open anew (stream_max_age)."
            ),
            queries=(
                Query(expr=total("tickserve_streams", "method"), legend="{{method}}"),
                Query(expr=series("tickserve_symbols"), legend="symbols"),
            ),
        ),
        Panel(
            title="Ticks",
            description=(
                "By what became of them. `duplicate` after a break: clients send again, as they should. `refused`: "
                "the senders' ticks are wrong, or their symbols were taken over."
            ),
            unit="ops",
            stacked=True,
            queries=(Query(expr=rate("tickserve_ticks_total", "result"), legend="{{result}}"),),
        ),
    ),
)

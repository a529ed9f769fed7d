"""First row: is it us? Objectives, replicas, alerts, and whose fault the errors are."""

from scripts.dashboard.panel import Panel, Query, Row
from scripts.dashboard.promql import rate, series

ADMITTED = "job_class:tickserve_admitted_misses_per_admitted:ratio_rate"
ASKED = "job_class:tickserve_misses_per_request:ratio_rate"
REAL_TIME = 'class="real_time"'

_READING = (
    "**Read from the top.** *Is it us?* Green tiles, and errors that are the callers' own: it is not. *Who suffers?* "
    "Which class, late or refused. *Where?* Which stage, which replica. *Why?* What that part says of itself. "
    "In the repository: the runbook, `docs/alerts.md`, and five worked examples, `docs/drill.md`."
)

# How an RPC's code shares the blame; a request that was answered is nobody's.
BLAME = (
    ("answered", "OK"),
    ("too late", "DEADLINE_EXCEEDED"),
    ("no capacity", "RESOURCE_EXHAUSTED"),
    ("our fault", "INTERNAL|UNAVAILABLE|UNKNOWN"),
    (
        "caller's fault",
        "INVALID_ARGUMENT|NOT_FOUND|FAILED_PRECONDITION|ALREADY_EXISTS|UNAUTHENTICATED|PERMISSION_DENIED",
    ),
    ("given up", "CANCELLED"),
)

VERDICT = Row(
    title="1. Is it us?",
    panels=(
        Panel(
            title="How to read this",
            description="The order of the rows is the order of a reading at 3 a.m.",
            kind="text",
            width=24,
            height=2,
            text=_READING,
        ),
        Panel(
            title="Real time: admitted and in time",
            description=(
                "Of the real-time requests that were let in, the part answered before their deadlines, over 5 min. "
                "The objective is 99.9 %. Red: we break promises; go on to row 2. No data: nobody asked."
            ),
            kind="stat",
            unit="percentunit",
            decimals=2,
            width=5,
            height=5,
            steps=((None, "red"), (1 - 14.4 * 0.001, "orange"), (0.999, "green")),
            queries=(Query(expr=f"1 - {series(f'{ADMITTED}5m', REAL_TIME)}", legend="in time"),),
        ),
        Panel(
            title="Real time: asked and in time",
            description=(
                "The same of all that were asked, refused ones included. The objective is 99 %. Green on the left and "
                "red here: we keep our promises by making few; there is more work than engine."
            ),
            kind="stat",
            unit="percentunit",
            decimals=2,
            width=5,
            height=5,
            steps=((None, "red"), (1 - 14.4 * 0.01, "orange"), (0.99, "green")),
            queries=(Query(expr=f"1 - {series(f'{ASKED}5m', REAL_TIME)}", legend="in time"),),
        ),
        Panel(
            title="Budget burn",
            description=(
                "How many times faster than sustainable the 30 days' error budgets are used, over the last hour. 1 "
                "lasts exactly 30 days; above 14.4, and still so over 5 min, somebody is paged."
            ),
            kind="stat",
            unit="none",
            decimals=1,
            width=5,
            height=5,
            steps=((None, "green"), (1, "orange"), (14.4, "red")),
            queries=(
                Query(expr=f"{series(f'{ADMITTED}1h', REAL_TIME)} / 0.001", legend="admitted"),
                Query(expr=f"{series(f'{ASKED}1h', REAL_TIME)} / 0.01", legend="asked"),
            ),
        ),
        Panel(
            title="Replicas",
            description=(
                "Replicas that live. No data: none, or the scrape port is not reached. Fewer than usual: one died and "
                "was not replaced; see *Uptime by replica*."
            ),
            kind="stat",
            unit="none",
            width=4,
            height=5,
            steps=((None, "red"), (1, "green")),
            queries=(Query(expr=f"count(count by (replica) ({series('tickserve_replica_info')}))", legend="replicas"),),
        ),
        Panel(
            title="Alerts that fire",
            description="Each has an entry of its name in docs/alerts.md: what it means, what to look at, what to do.",
            kind="table",
            width=5,
            height=5,
            queries=(
                Query(
                    expr=(
                        "max by (severity, alertname, class, replica) "
                        '(ALERTS{alertstate="firing", alertname=~"Tickserve.*"})'
                    ),
                    legend="",
                ),
            ),
        ),
        Panel(
            title="Whose fault",
            description=(
                "How requests end. A rise of `caller's fault` alone is not ours: ask the caller. `our fault` is a bug "
                "or a replica that goes. `no capacity` and `too late` lead to row 2."
            ),
            unit="reqps",
            width=12,
            stacked=True,
            queries=tuple(
                Query(expr=rate("tickserve_requests_total", where=f'code=~"{codes}"'), legend=name)
                for name, codes in BLAME
            ),
        ),
        Panel(
            title="Asked, by class",
            description=(
                "What is asked of us, whatever becomes of it. A step here before the trouble: it came from outside. "
                "Flat while latency rises: it came from inside."
            ),
            unit="reqps",
            width=6,
            queries=(Query(expr=rate("tickserve_deadline_total", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="Deep health",
            description=(
                "Each replica's own test inference: engine time under 100 ms is healthy, above degraded, a failure "
                "unhealthy, never run unknown. Its wait in the queue does not count, so load alone does not turn it. "
                "One replica: that replica or its machine. All: the model or the engine."
            ),
            kind="state-timeline",
            unit="none",
            width=6,
            least=None,
            names=((0, "unknown", "gray"), (1, "unhealthy", "red"), (2, "degraded", "orange"), (3, "healthy", "green")),
            queries=(
                Query(
                    expr=f"max by (replica) ({series('tickserve_deep_health_state')})",
                    legend="{{replica}}",
                ),
            ),
        ),
    ),
)

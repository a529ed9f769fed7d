"""Second row: who suffers? Latency by class, what became of deadlines, who is refused and why."""

from scripts.dashboard.panel import Panel, Query, Row
from scripts.dashboard.promql import quantile, rate, ratio, series
from scripts.dashboard.verdict import ADMITTED, ASKED

DURATION = "tickserve_request_duration_seconds"


def _latency(name: str, title: str, normal: str) -> Panel:
    return Panel(
        title=title,
        description=(
            f"From receipt to reply, of answered {name} requests. {normal} p50 flat and p99 up: something happens now "
            "and then (queue, event loop, a neighbour); all up together: every request pays (engine, stage)."
        ),
        unit="s",
        log=True,
        queries=tuple(
            Query(expr=quantile(share, DURATION, where=f'class="{name}"'), legend=legend)
            for share, legend in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
        ),
    )


SUFFERERS = Row(
    title="2. Who suffers?",
    panels=(
        _latency("real_time", "Latency, real time", "p99 belongs below 50 ms."),
        _latency("standard", "Latency, standard", "p99 belongs below its timeouts, 1 s by default."),
        _latency("background", "Latency, background", "It gets what the others leave: seconds are normal under load."),
        Panel(
            title="Goodput",
            description=(
                "Answers in time, a second: what we are for. It falls with *Asked, by class*: less work. It falls, or "
                "stands still, while that rises: overload."
            ),
            unit="reqps",
            queries=(Query(expr=rate("tickserve_goodput_total", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="In time, of what was asked",
            description=(
                "By class, over 5 min. Background falls first and real time last: the scheduler does what it should. "
                "Real time falls while background stands: it does not."
            ),
            unit="percentunit",
            most=1,
            queries=(Query(expr=f"1 - {series(f'{ASKED}5m')}", legend="{{class}}"),),
        ),
        Panel(
            title="P(miss | admitted)",
            description=(
                "Of what was let in, the part that was late, displaced or failed, over 5 min: promises broken. Near 0 "
                "though much is refused: admission works. Above 0.001: the prediction is wrong (*Cost model*) or the "
                "engine is disturbed."
            ),
            unit="percentunit",
            queries=(Query(expr=series(f"{ADMITTED}5m"), legend="{{class}}"),),
        ),
        Panel(
            title="Missed deadlines",
            description=(
                "`late_queue`: waited too long. `late_execution`: the engine took longer than predicted. `refused`, "
                "`displaced`: no room. `failed`: our fault. `cancelled`: the caller gave up, often because it was "
                "slow."
            ),
            unit="reqps",
            stacked=True,
            queries=(
                Query(
                    expr=rate("tickserve_deadline_total", "class, outcome", 'outcome!="in_time"'),
                    legend="{{class}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Least slack",
            description=(
                "Time that was left when the reply was ready: 1 % of the answered had less. It shrinks before "
                "deadlines are missed: the earliest warning of all."
            ),
            unit="s",
            queries=(Query(expr=quantile(0.01, "tickserve_deadline_slack_seconds", "class"), legend="{{class}}"),),
        ),
        Panel(
            title="Shed",
            description=(
                "Turned away for lack of capacity. PREDICTED_DEADLINE_MISS: would have been late. QUEUE_FULL: limits. "
                "DISPLACED: made room for a higher class. In background only: a flood that harms nobody else."
            ),
            unit="reqps",
            stacked=True,
            queries=(Query(expr=rate("tickserve_shed_total", "class, reason"), legend="{{class}} {{reason}}"),),
        ),
        Panel(
            title="Errors by reason",
            description=(
                "Every ended request that is no answer, by the reason that its caller was told; docs/operations.md "
                "says what each means."
            ),
            unit="reqps",
            stacked=True,
            queries=(Query(expr=rate("tickserve_requests_total", "reason", 'code!="OK"'), legend="{{reason}}"),),
        ),
        Panel(
            title="p99 by method",
            description="One method alone: its stages differ (decode of a batch, a stream's order); all: the engine.",
            unit="s",
            log=True,
            queries=(Query(expr=quantile(0.99, DURATION, "method"), legend="{{method}}"),),
        ),
        Panel(
            title="p99 by version",
            description=(
                "One version alone is slow: compare its *Engine time* and *Arms* with the others'; roll it back."
            ),
            unit="s",
            log=True,
            queries=(Query(expr=quantile(0.99, DURATION, "model, version"), legend="{{model}}:{{version}}"),),
        ),
        Panel(
            title="Given up by callers",
            description=(
                "By how they ended. A rise beside rising latency: callers' patience is shorter than our answers."
            ),
            unit="reqps",
            queries=(Query(expr=rate("tickserve_cancelled_total", "class, reason"), legend="{{class}} {{reason}}"),),
        ),
        Panel(
            title="RPC errors",
            description=(
                "Share of RPCs that did not end with OK, by method. Requests are well and RPCs fail: it happens "
                "outside the prediction, in the transport or in a method that predicts nothing."
            ),
            unit="percentunit",
            most=1,
            queries=(
                Query(
                    expr=ratio(
                        rate("tickserve_rpcs_total", "method", 'code!="OK"'), rate("tickserve_rpcs_total", "method")
                    ),
                    legend="{{method}}",
                ),
            ),
        ),
        Panel(
            title="Refused at the door",
            description=(
                "Calls without a valid API key, by reason; they count as no RPCs. A step up: a key has expired or was "
                "revoked (API_KEY_INVALID), a new client has none (API_KEY_MISSING), or somebody tries."
            ),
            unit="reqps",
            queries=(Query(expr=rate("tickserve_unauthenticated_total", "reason"), legend="{{reason}}"),),
        ),
    ),
)

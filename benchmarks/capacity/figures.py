"""Budgets and comparisons of the raw results. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.capacity.prediction import REQUESTS, compare, predict, table_of
from benchmarks.capacity.redis_costs import SCRIPTS
from benchmarks.figures import Spread, ratio, spread

Round = Mapping[str, Any]

_FEW = 4
#: Part of the machine that other work may take before the figures are not to be relied on.
DISTURBED = 0.05


def summarise(raw: Mapping[str, Any], *, requests: int = REQUESTS) -> dict[str, Any]:
    """Returns the figures of the report, and the budgets that they make.

    Args:
        raw: As `experiment.measure` returns it.
        requests: Simulated for each prediction.
    """
    rounds: Sequence[Round] = raw["small"]
    # The way is that of few callers: with many, what waits is the generator, on the cores that it shares.
    few = {count: figures for count, figures in raw["costs"].items() if int(count) <= _FEW}
    costs = table_of(raw["costs"], source="OpenVINO bf16, one thread, a live replica on two cores", way=few)
    live = raw["live"]
    own = table_of(live["calibration"]["classes"], source="two live replicas on two cores")
    return {
        "settings": raw["settings"],
        "elapsed": raw["elapsed"],
        "foreign_share": max(
            *(run["foreign_cpu"] / (2 * run["seconds"]) for run in live["runs"]),
            *(
                each[count][kind]["foreign_cpu"] / (2 * each[count][kind]["seconds"])
                for each in rounds
                for count in each
                for kind in ("unary", "ticks")
            ),
        ),
        "serving": {count: {kind: _serving(rounds, count, kind) for kind in ("unary", "ticks")} for count in rounds[0]},
        "scale": {kind: _scale(rounds, kind) for kind in ("unary", "ticks")},
        "controller": {count: _idle(rounds, count) for count in rounds[0]},
        "redis": _redis(raw["redis"]),
        "costs": costs.as_dict(),
        "closed": {count: figures["answered_per_second"] for count, figures in raw["costs"].items()},
        "live": {
            "rate": live["rate"],
            "closed_per_second": live["closed_per_second"],
            "mix": live["mix"],
            "slo": live["slo"],
            "costs": own.as_dict(),
            "foreign_share": max(run["foreign_cpu"] / (2 * run["seconds"]) for run in live["runs"]),
            "goodput": {name: spread(run["classes"][name]["goodput"] for run in live["runs"]) for name in live["mix"]},
            "by_calibration": compare(live, predict(live, own, requests=requests)),
            "by_budgets": compare(live, predict(live, costs, requests=requests)),
        },
        "budgets": new_budgets(rounds, raw["redis"]),
    }


def new_budgets(rounds: Sequence[Round], redis: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns the figures of `planning/budgets.toml` that the results make anew, by name."""

    def one(kind: str, figure: Callable[[Round], float | None]) -> float | None:
        return spread(figure(each["1"][kind]) for each in rounds)["median"]

    found = {
        "loop_unary_seconds": one("unary", _loop),
        "loop_tick_seconds": one("ticks", _loop),
        "haproxy_unary_seconds": one("unary", _haproxy),
        "haproxy_tick_seconds": one("ticks", _haproxy),
        "unary_bytes": one("unary", _bytes),
        "tick_bytes": one("ticks", _bytes),
        "controller_replica_seconds": _controller(rounds),
    }
    if redis is not None:
        busy = _tick_costs(redis["busy"])
        found |= {f"redis_tick_{key}": busy[key] for key in ("commands", "bytes", "seconds")}
    return {name: value for name, value in found.items() if value is not None and value > 0.0}


def _serving(rounds: Sequence[Round], count: str, kind: str) -> dict[str, Any]:
    def over(figure: Callable[[Round], float | None]) -> Spread:
        return spread(figure(each[count][kind]) for each in rounds)

    outcomes: dict[str, int] = {}
    for each in rounds:
        for outcome, number in each[count][kind]["outcomes"].items():
            outcomes[outcome] = outcomes.get(outcome, 0) + number
    return {
        "per_second": over(lambda run: run["per_second"]),
        "p50_ms": over(lambda run: run["p50_ms"]),
        "p99_ms": over(lambda run: run["p99_ms"]),
        "loop_seconds": over(_loop),
        "replica_seconds": over(lambda run: ratio(run["server_cpu"].get("replica"), run["answered"])),
        "haproxy_seconds": over(_haproxy),
        "haproxy_per_core": over(lambda run: ratio(run["answered"], run["server_cpu"].get("haproxy"))),
        "client_seconds": over(lambda run: ratio(run["client_cpu"], run["answered"])),
        "bytes_sent": over(lambda run: ratio(run["bytes_sent"], run["answered"])),
        "bytes_received": over(lambda run: ratio(run["bytes_received"], run["answered"])),
        "foreign_share": over(lambda run: run["foreign_cpu"] / (2 * run["seconds"])),
        "outcomes": outcomes,
    }


def _scale(rounds: Sequence[Round], kind: str) -> dict[str, Spread]:
    """Returns two replicas over one, within a round: throughput, and the server's processor time of one answer."""

    def server(run: Round) -> float | None:
        return ratio(sum(run["server_cpu"].get(role, 0.0) for role in ("replica", "haproxy")), run["answered"])

    return {
        "per_second": spread(ratio(each["2"][kind]["per_second"], each["1"][kind]["per_second"]) for each in rounds),
        "server_seconds": spread(ratio(server(each["2"][kind]), server(each["1"][kind])) for each in rounds),
    }


def _idle(rounds: Sequence[Round], count: str) -> dict[str, Spread]:
    """Returns the part of a core that each role uses while nobody calls."""
    roles = sorted({role for each in rounds for role in each[count]["idle"]["server_cpu"]})
    return {
        role: spread(
            each[count]["idle"]["server_cpu"].get(role, 0.0) / each[count]["idle"]["seconds"] for each in rounds
        )
        for role in roles
    }


def _controller(rounds: Sequence[Round]) -> float | None:
    """Returns what one replica more costs the controller, in a second: two points make a slope, a rough one."""

    def share(each: Round, count: str) -> float:
        idle = each[count]["idle"]
        return float(idle["server_cpu"].get("controller", 0.0) / idle["seconds"])

    return spread(share(each, "2") - share(each, "1") for each in rounds)["median"]


def _redis(raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if raw is None:
        return None
    return {
        name: {"ticks": run["ticks"], "per_second": run["per_second"], **_tick_costs(run)} for name, run in raw.items()
    }


def _tick_costs(run: Mapping[str, Any]) -> dict[str, float]:
    used, ticks = run["used"], run["ticks"]
    return {
        "scripts": sum(used.get(f"calls.{name}", 0.0) for name in SCRIPTS) / ticks,
        "commands": used["total_commands_processed"] / ticks,
        "bytes": (used["total_net_input_bytes"] + used["total_net_output_bytes"]) / ticks,
        "seconds": (used["used_cpu_user"] + used["used_cpu_sys"]) / ticks,
    }


def _loop(run: Round) -> float | None:
    return ratio(run["loop_seconds"], run["answered"])


def _haproxy(run: Round) -> float | None:
    return ratio(run["server_cpu"].get("haproxy"), run["answered"])


def _bytes(run: Round) -> float | None:
    return ratio(run["bytes_sent"] + run["bytes_received"], run["answered"])

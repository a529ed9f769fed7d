"""How `tickserve stats` shows a route: what the candidate is given, how each arm fares, and why it was rolled back."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tickserve.cli.output import milliseconds, span, table
from tickserve.routes import ArmRole, ArmState, ArmStatistics, RollbackVerdict, RouteStatistics

__all__ = ("route_table",)


def route_table(route: RouteStatistics) -> RenderableType:
    """Shows one route with the figures of its window; JSON has the totals, too."""
    title = f"route {route.model_name}, last {span(round(route.window_duration))}"
    if any(arm.role is ArmRole.CANDIDATE for arm in route.arms):
        instead = "" if route.effective_percent == route.percent else f" instead of {route.percent:g} %"
        title += f", candidate {route.effective_percent:g} %{instead}"
    rows = table("Arm", ">Asked", ">Error", ">Late", ">Fallback", ">p99", ">Differ", title=title)
    for arm in route.arms:
        rows.add_row(*_cells(arm))
    notes = [_idle(arm) for arm in route.arms if arm.state not in (ArmState.LIVE, ArmState.ROLLED_BACK)]
    if route.rollback is not None:
        notes.append(_rollback(route.rollback))
    return Group(rows, *notes)


def _cells(arm: ArmStatistics) -> tuple[str, ...]:
    recent = arm.recent
    return (
        f"{arm.role.name.lower()} {arm.model.version}",
        f"{recent.request_count:,}",
        _share(recent.error_count, recent.judged_count),
        _share(recent.late_count, recent.judged_count),
        f"{recent.fallback_count:,}",
        milliseconds(recent.quantile_duration) if recent.quantile_duration else "-",
        _share(recent.other_class_count, recent.compared_count),
    )


def _idle(arm: ArmStatistics) -> Text:
    return Text(f"{arm.role.name.lower()} {arm.model.version} is {arm.state.name.lower()}", style="yellow")


def _rollback(verdict: RollbackVerdict) -> Text:
    beside = f" (stable: {verdict.stable_rate:.2%})" if verdict.stable_rate else ""
    return Text(
        f"rolled back {span(round(verdict.age))} ago: {verdict.cause.name.lower()} in {verdict.rate:.2%} of "
        f"{verdict.request_count:,}{beside}, {verdict.limit:.2%} allowed",
        style="bold red",
    )


def _share(count: int, among: int) -> str:
    return f"{count / among:.1%}" if among else "-"

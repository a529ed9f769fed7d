"""`tickserve replay`: derives the answers of a decision log again and says whether they hold."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.commands.console import fail
from server.config.settings import SettingsError, load_settings

if TYPE_CHECKING:
    # At run time it imports torch, which takes seconds: only a run that derives pays for it, not every `--help`.
    from server.telemetry.decision_replay import Mismatch, ReplayReport

_UNREADABLE = 2


def replay(
    log: Annotated[Path, typer.Argument(help="File of a decision log, or its folder.", show_default=False)],
    registry: Annotated[
        Path | None, typer.Option(help="Folder of the model registry.", show_default="that of the settings")
    ] = None,
    eager: Annotated[
        bool, typer.Option("--eager", help="Derive on the eager network, not on the engines that answered.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Answers to derive at most.", min=1, show_default="all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Derive every recorded answer again, and report those that do not hold.

    Example: tickserve replay var/decisions --limit 1000

    Exit codes: 0 all hold; 1 an answer does not, cannot be derived, or the log is damaged; 2 the log cannot be read.
    """
    from model.registry import Registry
    from server.telemetry.decision_models import DecisionModels
    from server.telemetry.decision_reader import UnreadableLogError, read_log
    from server.telemetry.decision_replay import replay as replay_log

    try:
        folder = registry or load_settings().registry
        report = replay_log(read_log(log), DecisionModels(Registry(folder), is_eager=eager), limit=limit)
    except SettingsError as error:
        fail(str(error), code=_UNREADABLE)
    except UnreadableLogError as error:
        fail(str(error), code=_UNREADABLE)
    if report.damaged and not report.records:
        fail(f"{log} is no decision log: not one record in it is intact.", code=_UNREADABLE)
    if as_json:
        typer.echo(json.dumps(_as_json(report)))
    else:
        for line in _lines(report):
            typer.echo(line)
    if not report.holds:
        raise typer.Exit(1)


def _lines(report: ReplayReport) -> list[str]:
    lines = [f"mismatch {_described(item)}" for item in report.mismatches]
    lines += [
        f"{'unfinished' if item.is_tail else 'damaged'} {item.file} at byte {item.offset}, {item.length} bytes: "
        f"{item.reason}"
        for item in report.findings
    ]
    lines += [f"not derived {count}: {reason}" for reason, count in report.not_derived.most_common()]
    if report.on_other_engine:
        lines.append(f"derived on the eager network instead of the engine that answered: {report.on_other_engine}")
    worst = report.worst
    lines.append(
        f"worst deviation: {worst['share_of_tolerance']:.1%} of the tolerance (probability {worst['probability']:.1e}, "
        f"regression {worst['regression']:.1e}, feature {worst['feature']:.1e})"
    )
    verdict = "ok" if report.holds else "failed"
    lines.append(
        f"replay: {verdict}{'' if report.is_complete else ' (not all of the log)'} records={report.records} "
        f"derived={report.derived} mismatched={report.mismatched} unanswered={report.unanswered} "
        f"not_derived={report.not_derived.total()} damaged={report.damaged} unfinished={report.unfinished}"
    )
    return lines


def _described(item: Mismatch) -> str:
    fields = item.fields
    model = fields.get("model") or {}
    time = datetime.fromtimestamp(float(fields.get("time", 0)), UTC).isoformat(timespec="milliseconds")
    return (
        f"{time} request_id={fields.get('request_id')!r} trace_id={fields.get('trace_id')!r} "
        f"model={model.get('name')}:{model.get('version')} in {item.file.name}: {item.reason}"
    )


def _as_json(report: ReplayReport) -> dict[str, Any]:
    plain = dataclasses.asdict(report)
    for item in (*plain["mismatches"], *plain["findings"]):
        item["file"] = str(item["file"])
    # JSON has no infinities and no numbers that are none.
    plain["worst"] = {name: value if abs(value) < float("inf") else None for name, value in report.worst.items()}
    return {"ok": report.holds} | plain

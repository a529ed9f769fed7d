"""Derives the answers of a decision log again and compares. Owns the verdict; prints nothing.

An answer is derived one window at a time on the engine that gave it, or on the eager network where that engine cannot
be had here, and held to the tolerance that the service holds its engines to (`model.parity`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import numpy.typing as npt

from model.engine import Engine, Precision
from model.errors import ModelError
from model.outputs import OUTPUT_NAMES, ModelOutputs, OutputRow
from model.parity import TOLERANCES, Differences, compare
from server.telemetry.decision import Decision
from server.telemetry.decision_reader import Finding

FloatArray = npt.NDArray[np.float32]
_parts = attrgetter(*OUTPUT_NAMES)
# Findings and mismatches that a report keeps in full; all are counted.
MAX_SHOWN = 100


class CannotDeriveError(Exception):
    """An answer cannot be derived here; the message says why, in few and stable words."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deriver:
    """One version on one engine.

    Attributes:
        engine: Computes.
        target_deviation: Of the training targets, `[regressions]`: the unit of regressions.
        is_recorded_engine: Whether it is of the kind that gave the answers.
    """

    engine: Engine
    target_deviation: FloatArray
    is_recorded_engine: bool


class DeriverSource(Protocol):
    """Where versions come from; see `decision_models.DecisionModels`."""

    def get(self, model: dict[str, Any], engine: dict[str, Any]) -> Deriver:
        """Returns a version, by name, number and hash, on an engine; raises CannotDeriveError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An answer that is not what its input gives, or an input that is not the one that was recorded.

    Attributes:
        file: Where it is recorded.
        fields: The record's.
        reason: What differs, for people.
    """

    file: Path
    fields: dict[str, Any]
    reason: str


@dataclasses.dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        records: Intact records.
        unanswered: Those without answer: refused, cancelled, or a repeated request_id.
        derived: Answers that were derived again and compared.
        mismatched: Records that do not hold.
        on_other_engine: Answers that were derived on the eager network, for want of the engine that gave them.
        not_derived: Answers that could not be derived here, by why.
        unfinished: Records at the end of a file that were never finished.
        damaged: Places in files that are no record, or none that can be understood.
        worst: The largest deviation found, as a share of what is allowed, and each kind's in its own unit.
        mismatches: The first of them.
        findings: The first of them.
        is_complete: Whether all of the log was looked at.
    """

    records: int = 0
    unanswered: int = 0
    derived: int = 0
    mismatched: int = 0
    on_other_engine: int = 0
    not_derived: Counter[str] = dataclasses.field(default_factory=Counter)
    unfinished: int = 0
    damaged: int = 0
    worst: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"share_of_tolerance": 0.0, "probability": 0.0, "regression": 0.0, "feature": 0.0}
    )
    mismatches: list[Mismatch] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    is_complete: bool = True

    @property
    def holds(self) -> bool:
        """Whether every answer looked at is what its input gives, and nothing in the log was changed.

        A record that was never finished is no fault: the process was killed in the middle of it.
        """
        return not (self.mismatched or self.damaged or self.not_derived)


def replay(
    items: Iterable[tuple[Path, Decision | Finding]], models: DeriverSource, *, limit: int | None = None
) -> ReplayReport:
    """Derives the answers in a log again.

    Args:
        items: The log; see `decision_reader.read_log`.
        models: Where versions come from.
        limit: Most answers to derive; None: all.
    """
    report = ReplayReport()
    attempts = 0
    for file, item in items:
        if isinstance(item, Finding):
            _note_finding(report, item)
            continue
        if item.answer and limit is not None and attempts >= limit:
            report.is_complete = False
            break
        report.records += 1
        if not item.answer:
            report.unanswered += 1
            continue
        attempts += 1
        try:
            reason = _judge(report, item, models)
        except CannotDeriveError as error:
            report.not_derived[str(error)] += 1
            continue
        report.derived += 1
        if reason:
            report.mismatched += 1
            if len(report.mismatches) < MAX_SHOWN:
                report.mismatches.append(Mismatch(file=file, fields=dict(item.fields), reason=reason))
    return report


def _judge(report: ReplayReport, decision: Decision, models: DeriverSource) -> str:
    """Derives one answer; returns what is wrong with the recorded one, empty if nothing is.

    Raises:
        CannotDeriveError: It cannot be derived.
    """
    fields = decision.fields
    try:
        model, engine, recorded = fields["model"], fields["engine"], decision.row()
        _ = model["name"], int(model["version"]), model["sha256"], engine["name"]
        window, digest = decision.input(), fields["input"]["sha256"]
        precision: Precision = engine["precision"]
        if precision not in get_args(Precision):
            raise ValueError(precision)
    except (KeyError, TypeError, ValueError):
        raise CannotDeriveError("the record lacks what another version of the software would have written") from None
    if hashlib.sha256(window.tobytes()).hexdigest() != digest:
        return "the window is not the one that was hashed"
    deriver = models.get(model, engine)
    report.on_other_engine += not deriver.is_recorded_engine
    try:
        derived = deriver.engine.run(np.ascontiguousarray(window[None]))
        found = compare(_batch_of_one(recorded), derived, deriver.target_deviation, TOLERANCES[precision])
    except ModelError as error:
        raise CannotDeriveError(f"the engine refuses the window: {error}") from None
    except ValueError:
        return "the answer has another shape than the model gives"
    _note_worst(report, found)
    return "" if found.passed else str(found)


def _batch_of_one(row: OutputRow) -> ModelOutputs:
    return ModelOutputs(*(part[None] for part in _parts(row)))


def _note_worst(report: ReplayReport, found: Differences) -> None:
    for name, value in report.worst.items():
        here: float = getattr(found, name)
        # Not `max`: a number that is none is the worst of all, and must not be lost in comparisons.
        report.worst[name] = here if not here <= value else value


def _note_finding(report: ReplayReport, finding: Finding) -> None:
    if finding.is_tail:
        report.unfinished += 1
    else:
        report.damaged += 1
    if len(report.findings) < MAX_SHOWN:
        report.findings.append(finding)

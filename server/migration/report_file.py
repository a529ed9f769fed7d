"""The mirror's figures in a file, for people and for `tickserve migrate verdict`. Owns how it is written and read."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from server.migration.agreement import Agreement, AgreementReport, as_dict, read_report

REPORT_FILE = "agreement.json"


class ReportError(Exception):
    """The file cannot be used. The message says why."""


def write(path: Path, report: AgreementReport) -> None:
    """Puts a report in the place of the former one, at once.

    Raises:
        ReportError: It cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(as_dict(report)) + "\n")
        os.replace(beside, path)
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error}") from error


def read(path: Path) -> AgreementReport:
    """Returns the report in a file.

    Raises:
        ReportError: There is none.
    """
    try:
        return read_report(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} is no report of a mirror: {error}") from error


async def keep(path: Path, agreement: Agreement, *, interval: float) -> None:
    """Writes the report whenever it has changed, every `interval` seconds, until it is cancelled.

    Raises:
        ReportError: It cannot be written.
    """
    written: AgreementReport | None = None
    while True:
        if (report := agreement.report()) != written:
            await asyncio.to_thread(write, path, report)
            written = report
        await asyncio.sleep(interval)

"""Changing the shares of a running split, and asking it how it goes.

Owns the order in which the file and the process learn of a change, and what of HAProxy's statistics is told.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from server.edge.haproxy_config import SOCKET_FILE
from server.edge.runtime_api import RuntimeApi, RuntimeApiError
from server.migration.split import SAMPLE_ROW, SPLIT_ROW, ShareError, Shares, from_map, to_map
from server.migration.split_config import MAP_FILE, NEW


class SplitError(Exception):
    """The split cannot be read or changed. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class SideState:
    """One server of the split since it started.

    Attributes:
        backend: Whose callers it answers: `new`, `old`, or `mirror`.
        server: Which it is: `new`, `old`, `mirror`, `fallback`.
        state: HAProxy's word: `UP`, `DOWN`, `no check` and steps between.
        check: What the last check said; empty where there is none.
        answered: Answers by the first digit of their status, `2xx` to `5xx`.
        milliseconds: Mean time to the answer's first byte, over the last 1024 requests.
        under_way: Requests that it has now.
    """

    backend: str
    server: str
    state: str
    check: str
    answered: dict[str, int]
    milliseconds: int
    under_way: int


class SplitControl:
    """Speaks to the split whose files lie in a folder.

    Args:
        folder: Of `tickserve migrate edge`.
    """

    def __init__(self, folder: Path) -> None:
        self._map = folder.absolute() / MAP_FILE
        self._api = RuntimeApi(folder.absolute() / SOCKET_FILE)

    def stored(self) -> Shares:
        """Returns the shares that the next start begins with; none where there is no file yet.

        Raises:
            SplitError: The file cannot be read.
        """
        try:
            return from_map(self._map.read_text())
        except FileNotFoundError:
            return Shares()
        except (OSError, ShareError) as error:
            raise SplitError(f"{self._map} cannot be used: {error}") from error

    def store(self, shares: Shares) -> None:
        """Writes the shares that the next start begins with.

        Raises:
            SplitError: The file cannot be written.
        """
        try:
            self._map.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._map.with_suffix(".new")
            beside.write_text(to_map(shares))
            os.replace(beside, self._map)
        except OSError as error:
            raise SplitError(f"{self._map} cannot be written: {error}") from error

    def in_force(self) -> Shares:
        """Returns the shares that the running process decides by.

        Raises:
            SplitError: It does not answer.
        """
        # "0x55f0 split 2000" a row
        rows = [line.partition(" ")[2] for line in self._ask(f"show map {self._map}").splitlines()]
        try:
            return from_map("\n".join(rows))
        except ShareError as error:
            raise SplitError(f"the split has other rows than expected: {error}") from error

    def change(self, shares: Shares) -> None:
        """Puts shares in force: for every request that comes from now on, those on open connections included.

        The file comes first, so that a process that starts again meanwhile does not fall back behind it; a full disk
        does not keep the running process from hearing of it.

        Raises:
            SplitError: The process does not answer or refused, and the next start begins with the new shares; or it
                decides by them now, and the file could not be written.
        """
        unwritten: SplitError | None = None
        try:
            self.store(shares)
        except SplitError as error:
            unwritten = error
        for name, value in ((SPLIT_ROW, shares.split), (SAMPLE_ROW, shares.sample)):
            if answer := self._ask(f"set map {self._map} {name} {value}"):
                raise SplitError(f"the split refused the change: {answer}")
        if unwritten is not None:
            raise SplitError(f"in force, but only until the split starts again: {unwritten}")

    def sides(self) -> list[SideState]:
        """Returns what the split's servers do.

        Raises:
            SplitError: The process does not answer.
        """
        rows = csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines())
        return [_side(row) for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"}]

    def new_is_up(self) -> bool:
        """Tells whether the new service passes its health check.

        Raises:
            SplitError: The process does not answer.
        """
        # "UP 1/2": it is, though the last check failed.
        return any(side.backend == side.server == NEW and side.state.startswith("UP") for side in self.sides())

    def _ask(self, order: str) -> str:
        try:
            return self._api.command(order)
        except RuntimeApiError as error:
            raise SplitError(f"{error}; is `tickserve migrate edge` running with this folder?") from error


def _side(row: dict[str, str]) -> SideState:
    return SideState(
        backend=row["pxname"],
        server=row["svname"],
        state=row["status"],
        check=" ".join(filter(None, (row["check_status"], row["check_code"]))),
        answered={name: int(row[f"hrsp_{name}"] or 0) for name in ("2xx", "3xx", "4xx", "5xx")},
        milliseconds=int(row["ttime"] or 0),
        under_way=int(row["scur"] or 0),
    )

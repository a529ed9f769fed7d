"""Owns what each part of the service can carry: figures with their origin, from one file. Must not know any load.

`budgets.toml` lies beside this file and says of each figure its value, unit, what it is, how it was had (a command, or
that it is assumed), when and on which machine. `python -m benchmarks.capacity --update-budgets` writes the measured
ones anew; `tickserve plan --budgets FILE` replaces the file, or some of its figures. What it replaces keeps nothing of
where the former figure came from.
"""

import datetime
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from planning.cost_table import CostTable
from planning.planning_error import InvalidBudgetsError

FILE = Path(__file__).with_name("budgets.toml")
#: What `method` says of a figure nobody has measured.
ASSUMED = "assumed"
#: How `method` begins where a file for `--budgets` does not say it; the file's name follows.
GIVEN = "given by "
#: Finite, so that no whole number is too large to be reckoned with.
_MOST = sys.float_info.max
#: All that a document may hold, each a table of tables.
_PARTS = ("figures", "engines")
#: What a figure that replaces another takes over from it: what it is, not where it came from.
_INHERITED = ("title", "unit")
#: What an engine that replaces another does not take over from it.
_ORIGIN = ("method", "date", "machine")
_TEXTS = ("unit", "title", "method", "date", "machine", "note", "source")

#: Every figure that a plan needs, with its unit.
UNITS: Mapping[str, str] = {
    "loop_unary_seconds": "s",
    "loop_tick_seconds": "s",
    "loop_share": "part",
    "haproxy_unary_seconds": "s",
    "haproxy_tick_seconds": "s",
    "haproxy_cores": "cores",
    "haproxy_share": "part",
    "unary_bytes": "bytes",
    "tick_bytes": "bytes",
    "replica_bytes": "bytes",
    "stream_bytes": "bytes",
    "haproxy_stream_bytes": "bytes",
    "window_bytes": "bytes",
    "redis_tick_commands": "commands",
    "redis_tick_bytes": "bytes",
    "redis_tick_seconds": "s",
    "redis_share": "part",
    "controller_replica_seconds": "s",
    "controller_share": "part",
    "node_cpus": "vCPU",
    "node_gpus": "GPU",
    "node_bytes": "bytes",
    "node_network_bytes": "bytes/s",
    "first_answer_seconds": "s",
    "vcpu_hour_price": "USD",
    "gpu_hour_price": "USD",
}
#: Those that divide, or without which nothing could be placed, and what to give instead of 0.
_ABOVE_ZERO: Mapping[str, str] = {
    "haproxy_cores": "what a node has",
    "node_cpus": "what a node has",
    "node_bytes": "what a node has",
    "node_network_bytes": "what a node has",
    "replica_bytes": "what a replica takes",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure and where it comes from.

    Attributes:
        value: At least 0.
        unit: See `UNITS`.
        title: What it is, in words.
        method: The command that measured it, `ASSUMED`, or `GIVEN` and a file's name.
        date: When; empty for what is assumed.
        machine: Where; empty for what is assumed.
        note: What a reader should know besides; may be empty.
    """

    value: float
    unit: str
    title: str
    method: str
    date: str = ""
    machine: str = ""
    note: str = ""

    @property
    def is_assumed(self) -> bool:
        """Whether nobody has measured it."""
        return self.method == ASSUMED

    @property
    def is_given(self) -> bool:
        """Whether it comes from a file that does not say how it was had."""
        return self.method.startswith(GIVEN)


@dataclass(frozen=True, kw_only=True)
class EngineBudget:
    """One engine: what its batches cost, and what a replica with it takes.

    Attributes:
        name: As the setting `engine` names it.
        table: Durations of batches, seconds.
        cpus: Of one replica: its engine's threads and one for its event loop.
        gpus: Of one replica.
        method: As in `Figure`.
        date: As in `Figure`.
        machine: As in `Figure`.
    """

    name: str
    table: CostTable
    cpus: float
    gpus: float
    method: str
    date: str = ""
    machine: str = ""


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """All figures and engines of a file."""

    figures: Mapping[str, Figure]
    engines: Mapping[str, EngineBudget]

    def value(self, name: str) -> float:
        """Return a figure's value."""
        return self.figures[name].value

    def engine(self, name: str) -> EngineBudget:
        """Return an engine's budget.

        Raises:
            InvalidBudgetsError: There are no figures of that engine.
        """
        if name not in self.engines:
            known = ", ".join(self.engines)
            raise InvalidBudgetsError(
                "--engine",
                f"{name} has not been measured; take one of {known}, or measure it and give its table with --costs",
            )
        return self.engines[name]


def read_budgets(path: Path | None = None) -> Budgets:
    """Read the budgets; those of `path`, where they are given, win over those that come with the package.

    A figure of `path` takes over the title and the unit, an engine its table and its size, as far as `path` does not
    say them; neither takes over its origin.

    Raises:
        InvalidBudgetsError: The file cannot be read, has another form, names an unknown figure, or has a value that
            cannot be.
    """
    document = _read(FILE)
    if path is not None:
        given, origin = _read(path), GIVEN + path.name
        _check_form(given)
        figures, engines = document["figures"], document["engines"]
        for name, entry in given.get("figures", {}).items():
            known = {key: value for key, value in figures.get(name, {}).items() if key in _INHERITED}
            figures[name] = known | {"method": origin} | entry
        for name, entry in given.get("engines", {}).items():
            known = {key: value for key, value in engines.get(name, {}).items() if key not in _ORIGIN}
            if "seconds_by_batch_size" in entry:
                known["source"] = origin
            engines[name] = known | {"method": origin} | entry
    return budgets_of(document)


def budgets_of(document: Mapping[str, Any]) -> Budgets:
    """Return the budgets that a document holds; see `budgets.toml` for its form.

    Raises:
        InvalidBudgetsError: It has another form; a figure is unknown, missing, or has a value that cannot be.
    """
    _check_form(document)
    figures = {name: _figure(name, entry) for name, entry in document.get("figures", {}).items()}
    if missing := sorted(UNITS.keys() - figures.keys()):
        raise InvalidBudgetsError("--budgets", f"{', '.join(missing)}: missing; docs/capacity.md lists them")
    engines = {name: _engine(name, entry) for name, entry in document.get("engines", {}).items()}
    return Budgets(figures=figures, engines=engines)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise InvalidBudgetsError("--budgets", f"{path} is not a readable TOML file: {error}") from None


def _check_form(document: Mapping[str, Any]) -> None:
    if unknown := sorted(document.keys() - set(_PARTS)):
        raise InvalidBudgetsError(
            "--budgets",
            f"{', '.join(unknown)} means nothing; put figures into [figures.NAME], engines into [engines.NAME]",
        )
    for part, entries in document.items():
        example = f"[{part}.NAME] with {'value = 1' if part == 'figures' else 'cpus = 2 and what else it needs'}"
        if not isinstance(entries, Mapping):
            raise InvalidBudgetsError("--budgets", f"{part} is {entries!r}; give tables, each as {example}")
        for name, entry in entries.items():
            if not isinstance(entry, Mapping):
                form = example.replace("NAME", name).replace("value = 1", f"value = {entry!r}")
                raise InvalidBudgetsError("--budgets", f"{part}.{name} is {entry!r}; give a table: {form}")


def _texts(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    # TOML has dates of its own, and a date is often written as one.
    found = {key: str(value) if isinstance(value, datetime.date) else value for key, value in entry.items()}
    for key in _TEXTS:
        if not isinstance(found.get(key, ""), str):
            raise InvalidBudgetsError("--budgets", f"{name}: {key} is {found[key]!r}; give a text in quotes")
    return found


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0.0 <= value <= _MOST


def _figure(name: str, entry: Mapping[str, Any]) -> Figure:
    if name not in UNITS:
        raise InvalidBudgetsError("--budgets", f"{name} is no figure; docs/capacity.md lists them")
    given = {"unit": UNITS[name], "title": name, "method": ASSUMED, **_texts(name, entry)}
    if unknown := sorted(given.keys() - {field.name for field in fields(Figure)}):
        raise InvalidBudgetsError("--budgets", f"{name} has {', '.join(unknown)}, which mean nothing")
    if "value" not in given:
        raise InvalidBudgetsError("--budgets", f"{name} lacks value; give it")
    value = given["value"]
    if not _is_number(value):
        raise InvalidBudgetsError("--budgets", f"{name} is {value!r}; give a number of at least 0")
    if given["unit"] != UNITS[name]:
        raise InvalidBudgetsError("--budgets", f"{name} is in {given['unit']!r}; give it in {UNITS[name]}")
    if UNITS[name] == "part" and not 0.0 < value <= 1.0:
        raise InvalidBudgetsError("--budgets", f"{name} is {value}; give a part above 0, at most 1")
    if name in _ABOVE_ZERO and value == 0:
        raise InvalidBudgetsError("--budgets", f"{name} is 0; give {_ABOVE_ZERO[name]}")
    return Figure(**given)


def _engine(name: str, entry: Mapping[str, Any]) -> EngineBudget:
    rest = _texts(f"engine {name}", entry)
    try:
        own = {key: rest.pop(key) for key in ("cpus", "gpus", "method")}
        own |= {key: rest.pop(key) for key in ("date", "machine") if key in rest}
        sizes = {int(size): float(value) for size, value in rest.pop("seconds_by_batch_size").items()}
        table = CostTable(seconds_by_batch_size=sizes, **rest)
    except KeyError as error:
        raise InvalidBudgetsError("--budgets", f"engine {name} lacks {error.args[0]}; give it") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidBudgetsError("--budgets", f"engine {name}: {error}") from None
    if not (_is_number(own["cpus"]) and _is_number(own["gpus"]) and own["cpus"] > 0):
        raise InvalidBudgetsError("--budgets", f"engine {name}: cpus must be above 0 and gpus at least 0, both numbers")
    return EngineBudget(name=name, table=table, **own)

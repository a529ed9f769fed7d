"""Checks of single values of `config.json`. Knows which forms there are, not which fields.

Each returns the value as the dataclasses keep it (lists as tuples, whole numbers as floats where a float is meant) or
raises `ConfigError` with the field's path.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from model.errors import ConfigError


def integer(value: object, name: str, minimum: int, maximum: int) -> int:
    """A whole number within bounds, both included."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise ConfigError(name, f"{_shown(value)} is not an integer in [{minimum}, {maximum}]")
    return value


def number(value: object, name: str, *, above: float = -math.inf) -> float:
    """A finite number above a bound."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
        raise ConfigError(name, f"{_shown(value)} is not a finite number")
    if not value > above:
        raise ConfigError(name, f"{value!r} is not above {above}")
    return float(value)


def items(value: object, name: str) -> tuple[object, ...]:
    """A list's items, whatever they are."""
    if not isinstance(value, list | tuple):
        raise ConfigError(name, f"{type(value).__name__} is not a list")
    return tuple(value)


def numbers(value: object, name: str, *, above: float = -math.inf) -> tuple[float, ...]:
    """A list of finite numbers above a bound."""
    return tuple(number(item, f"{name}[{i}]", above=above) for i, item in enumerate(items(value, name)))


def distinct_names(value: object, name: str) -> tuple[str, ...]:
    """A list of short lower-case names, no two alike."""
    names = tuple(text(item, f"{name}[{i}]", r"[a-z][a-z0-9_]{0,31}") for i, item in enumerate(items(value, name)))
    if len(set(names)) != len(names):
        raise ConfigError(name, f"{names} are not distinct")
    return names


def text(value: object, name: str, pattern: str) -> str:
    """A string that matches a pattern as a whole."""
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise ConfigError(name, f"{_shown(value)} does not match {pattern}")
    return value


def require_count(values: tuple[Any, ...], name: str, count: int) -> None:
    """Refuse a list that is not of the length that other fields demand."""
    if len(values) != count:
        raise ConfigError(name, f"has {len(values)} entries, not {count}")


def arguments_of(cls: type, values: object, name: str, prefix: str) -> dict[str, Any]:
    """`values` as keyword arguments of the dataclass `cls`; `prefix` leads to its fields in error messages."""
    if not isinstance(values, Mapping):
        raise ConfigError(name, f"{type(values).__name__} is not an object")
    known = {item.name: item for item in fields(cls)}
    for key in values:
        if key not in known:
            raise ConfigError(f"{prefix}{key}", "unknown field")
    for key, item in known.items():
        if key not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"{prefix}{key}", "missing")
    return dict(values)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float holds
        return False


def _shown(value: object) -> str:
    """A wrong value as an error tells it: a file's mistake must not fill a log."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."

"""Owns how users write mixes and goals: `real_time=0.1,standard=0.9`, `real_time=20ms,background=5s`. Pure."""

import math

from batching import PriorityClass
from planning.demand import CLASSES, name_of
from planning.planning_error import InvalidDemandError

_BY_NAME = {name_of(priority): priority for priority in CLASSES}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def parse_class(text: str, *, option: str) -> PriorityClass:
    """Read a class.

    Raises:
        InvalidDemandError: There is none of that name.
    """
    priority = _BY_NAME.get(text.strip().lower())
    if priority is None:
        raise InvalidDemandError(option, f"{text!r} is no class; name {', '.join(_BY_NAME)}")
    return priority


def parse_mix(text: str) -> dict[PriorityClass, float]:
    """Read shares by class, each from 0 to 1; a class alone has all. Whether they add up is the demand's to say.

    Raises:
        InvalidDemandError: A class is unknown or named twice, or a share is no number.
    """
    mix: dict[PriorityClass, float] = {}
    for name, value in _pairs(text, option="--mix", example="real_time=0.1,standard=0.9", alone="1"):
        try:
            mix[name] = float(value)
        except ValueError:
            raise InvalidDemandError("--mix", f"{value!r} is no share; give a number from 0 to 1") from None
    return mix


def parse_slo(text: str) -> dict[PriorityClass, float]:
    """Read seconds by class, such as `real_time=20ms,background=5s`; without a unit they are seconds.

    Raises:
        InvalidDemandError: A class is unknown or named twice, or a span is none.
    """
    pairs = _pairs(text, option="--slo", example="real_time=20ms,standard=1s") if text.strip() else []
    return {name: parse_span(value, option="--slo") for name, value in pairs}


def parse_span(text: str, *, option: str) -> float:
    """Read a span such as `20ms`, `1.5s` or `0.02`; returns seconds.

    Raises:
        InvalidDemandError: It is none, or not above 0.
    """
    stripped = text.strip().lower()
    unit = next((unit for unit in _UNITS if stripped.endswith(unit)), "")
    try:
        seconds = float(stripped.removesuffix(unit)) * _UNITS.get(unit, 1.0)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise InvalidDemandError(option, f"{text!r} is no time above 0; write it as 20ms or 1.5s")
    return seconds


def _pairs(text: str, *, option: str, example: str, alone: str = "") -> list[tuple[PriorityClass, str]]:
    found: dict[PriorityClass, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        priority = parse_class(name, option=option)
        if priority in found:
            raise InvalidDemandError(option, f"{name_of(priority)} is named twice; name it once")
        if not equals and not alone:
            raise InvalidDemandError(option, f"{part.strip()!r} says nothing; write it as {example}")
        found[priority] = value if equals else alone
    return list(found.items())

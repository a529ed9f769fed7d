"""Which class each request is of."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from tickserve.priority import Priority

__all__ = ("Mix", "classes", "parse_mix")

Mix = Mapping[Priority, float]
"""For each class its share of the requests; above 0, together 1."""


def parse_mix(text: str) -> Mix:
    """Reads what users write for a mix: a class, or several with their shares.

        >>> parse_mix("standard")
        {<Priority.STANDARD: 2>: 1.0}
        >>> parse_mix("real_time=0.1,standard=0.6,background=0.3")[Priority.REAL_TIME]
        0.1

    Raises:
        ValueError: A class is unknown or named twice, or the shares are not above 0 or do not add up to 1.
    """
    shares: dict[Priority, float] = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        priority = Priority.parse(name)
        if priority is Priority.UNSPECIFIED:
            raise ValueError("a mix names classes: real_time, standard, background")
        if priority in shares:
            raise ValueError(f"a mix names {priority.name.lower()} once")
        try:
            shares[priority] = float(number) if equals else 1.0
        except ValueError:
            raise ValueError(f"a mix is written real_time=0.1,standard=0.9, not {text}") from None
        if not 0 < shares[priority] < math.inf:
            raise ValueError(f"the share of {priority.name.lower()} must be above 0")
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of a mix add up to 1, not {sum(shares.values()):g}")
    return shares


def classes(mix: Mix, source: random.Random) -> Iterator[Priority]:
    """Yields a class for each request, drawn by share, without end."""
    names, shares = list(mix), list(mix.values())
    while True:
        yield from source.choices(names, shares, k=256)

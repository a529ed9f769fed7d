"""Owns moments of arrival: independent of any answer, drawn by seed. Must not know what arrives.

Every function returns moments in ascending order, in seconds from 0.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]

#: Steps in which a rate that changes over time is summed up.
_STEPS = 100_000


def poisson(random: np.random.Generator, *, rate: float, count: int) -> Moments:
    """Return ``count`` arrivals at a constant mean ``rate`` a second."""
    return np.cumsum(random.exponential(1.0 / rate, count))


def uniform(random: np.random.Generator, *, duration: float, count: int) -> Moments:
    """Return ``count`` arrivals at a constant mean rate, none after ``duration``."""
    return np.sort(random.random(count) * duration)


def modulated(
    random: np.random.Generator, *, rate: Callable[[Moments], Moments], duration: float, count: int
) -> Moments:
    """Return ``count`` arrivals within ``duration``, as dense as ``rate``, whose scale does not matter, says.

    Given their number, the arrivals of a Poisson process are independent draws from its normalised rate.
    """
    grid = np.linspace(0.0, duration, _STEPS + 1)
    density = rate((grid[1:] + grid[:-1]) / 2)
    total = np.concatenate(([0.0], np.cumsum(density)))
    return np.sort(np.interp(random.random(count) * total[-1], total, grid))


def volleys(random: np.random.Generator, *, moments: Moments, size: int, spread: float) -> Moments:
    """Return, for each of the moments, ``size`` arrivals spread evenly at random over ``spread`` seconds from it on."""
    offsets = random.random((len(moments), size)) * spread
    return np.sort((moments[:, None] + offsets).ravel())

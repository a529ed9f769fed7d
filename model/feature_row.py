"""The formulas of one row of features, in the order of `model.feature_schema.FEATURES`.

Owns what each of the 50 values is, given what the newest 61 bars derive. Keeps nothing; knows nothing of symbols,
windows, files or networks. Sums are taken afresh instead of being carried along, and exponential means are truncated
to 60 bars: so nothing drifts.

Sources: Parkinson, J. Business 53 (1980); Garman & Klass, J. Business 53 (1980); Rogers & Satchell, Ann. Appl.
Probab. 1 (1991); Wilder, New Concepts in Technical Trading Systems (1978); Appel (MACD), Bollinger, Lane
(stochastic), Chande (Aroon) as in any textbook, here on log prices.
"""

from collections.abc import Iterator, Sequence
from math import cos, log, log1p, pi, sin, sqrt
from operator import mul
from typing import Final

from model.bar_history import Series
from model.feature_schema import FEATURE_LIMIT, MAX_LOOKBACK

SPAN: Final = MAX_LOOKBACK - 1  # returns in the longest window
_LOG_LIMIT: Final = 5.0
_UNIT_VOLATILITY: Final = 1e-3  # centres volatility_level near 0 for hourly currency bars
_PARKINSON: Final = 1.0 / (4.0 * log(2.0))
_GARMAN_KLASS: Final = 2.0 * log(2.0) - 1.0
_WALK_20: Final = sqrt(10.0 / 3.0)  # about the standard deviation of 20 steps of a random walk, per unit step
_SMALL: Final = 1e-12  # a spread below this share of the level is rounding noise, not information
_DAY: Final = 86_400.0
_WEEK: Final = 7 * _DAY
_MONDAY: Final = 4 * _DAY  # 1970-01-05, the first Monday of the epoch
_ROOT: Final = {n: sqrt(n) for n in (3, 5, 10, 20, SPAN)}


def _ema_distance(span: float) -> list[float]:
    """Weights of the last 60 returns, oldest first, whose sum is ln C less its exponential mean.

    The mean is over 61 closes with weights falling by `1 - 2 / (span + 1)` a bar, summing to 1.
    """
    decay = 1.0 - 2.0 / (span + 1.0)
    weights = [decay**age for age in range(MAX_LOOKBACK)]
    # The close `i` bars ago lies the newest `i` returns below the present one, hence the tail sums.
    return [sum(weights[age + 1 :]) / sum(weights) for age in reversed(range(SPAN))]


def _unit(weights: Sequence[float]) -> list[float]:
    """The weights scaled to Euclidean norm 1, so that white noise of variance 1 yields variance 1."""
    norm = sqrt(sum(w * w for w in weights))
    return [w / norm for w in weights]


def _less_own_mean(weights: Sequence[float], span: float) -> list[float]:
    """The filter `weights` less its own exponential mean over `span` bars, truncated to 60 returns."""
    decay = 1.0 - 2.0 / (span + 1.0)
    means = [decay**age for age in range(SPAN)]
    total = sum(means)
    aged = list(reversed(weights))
    smooth = [sum(means[k] * aged[age - k] for k in range(age + 1)) / total for age in range(SPAN)]
    return [aged[age] - smooth[age] for age in reversed(range(SPAN))]


_MACD_RAW: Final = [slow - fast for slow, fast in zip(_ema_distance(26), _ema_distance(12), strict=True)]
_EMA_5: Final = _unit(_ema_distance(5))
_EMA_12: Final = _unit(_ema_distance(12))
_EMA_26: Final = _unit(_ema_distance(26))
_MACD: Final = _unit(_MACD_RAW)
_MACD_HISTOGRAM: Final = _unit(_less_own_mean(_MACD_RAW, 9))
_WILDER_7: Final = [(1.0 - 1.0 / 7.0) ** age for age in reversed(range(SPAN))]
_WILDER_14: Final = [(1.0 - 1.0 / 14.0) ** age for age in reversed(range(SPAN))]


def _ratio(numerator: float, denominator: float) -> float:
    """The quotient, or 0 where the (never negative) denominator is 0."""
    return numerator / denominator if denominator > 0.0 else 0.0


def _log_ratio(numerator: float, denominator: float) -> float:
    """The logarithm of a quotient of two values >= 0, within +-5; 0 where the denominator is 0."""
    if denominator <= 0.0:
        return 0.0
    if numerator <= 0.0:
        return -_LOG_LIMIT
    return max(-_LOG_LIMIT, min(_LOG_LIMIT, log(numerator) - log(denominator)))


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    products: Iterator[float] = map(mul, left, right)
    return sum(products)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean less the newest value, and standard deviation; exactly (0, 0) for constant values."""
    newest = values[-1]
    shifted = [value - newest for value in values]
    mean = sum(shifted) / len(shifted)
    spread = [value - mean for value in shifted]
    deviation = sqrt(_dot(spread, spread) / len(spread))
    return mean, (deviation if deviation > _SMALL * abs(newest + mean) else 0.0)


def _position(price: float, highs: Sequence[float], lows: Sequence[float]) -> float:
    """Position of `price` between the lowest low (-1) and the highest high (+1); 0 without range."""
    top, bottom = max(highs), min(lows)
    return (2.0 * price - top - bottom) / (top - bottom) if top > bottom else 0.0


def feature_row(series: Series, open_time: float, since_gap: int) -> list[float]:
    """Returns the 50 values in the order of the schema, from full series of 61 bars, the newest from `open_time`."""
    close, high, low = series.log_close, series.log_high, series.log_low
    returns = series.returns[1:]  # the oldest kept bar's return reads a bar already forgotten
    absolute = [abs(r) for r in returns]
    squares = [r * r for r in returns]
    square_sum = sum(squares)
    sigma = sqrt(square_sum / SPAN)
    path = sum(absolute)
    per_sigma = 1.0 / sigma if sigma > 0.0 else 0.0
    now = close[-1]
    ranges = [h - lo for h, lo in zip(high[-SPAN:], low[-SPAN:], strict=True)]
    range_squares = [x * x for x in ranges[-30:]]
    body_squares = [x * x for x in series.body[-30:]]
    square_30 = sum(range_squares)
    square_10 = sum(range_squares[-10:])
    klass_30 = max(0.0, 0.5 * square_30 - _GARMAN_KLASS * sum(body_squares))
    klass_10 = max(0.0, 0.5 * square_10 - _GARMAN_KLASS * sum(body_squares[-10:]))
    candle_body, balance, log_range = series.candle_body[-1], series.shadow_balance[-1], ranges[-1]
    shadows = 1.0 - abs(candle_body) if log_range > 0.0 else 0.0  # upper + lower
    mean_20, deviation_20 = _moments(close[-20:])
    highs, lows = high[-25:], low[-25:]
    volume = series.volume
    volume_10 = volume[-10:]
    signed_volume = sum(v if r > 0.0 else -v if r < 0.0 else 0.0 for v, r in zip(volume_10, returns[-10:], strict=True))
    volume_mean_20, volume_deviation_20 = _moments(volume[-20:])
    volume_mean_60, volume_deviation_60 = _moments(volume[-SPAN:])
    dispersion = sqrt(max(0.0, square_sum * SPAN / (path * path) - 1.0)) if path > 0.0 else 0.0
    day = 2.0 * pi * (open_time % _DAY) / _DAY
    week = 2.0 * pi * ((open_time - _MONDAY) % _WEEK) / _WEEK
    return [
        returns[-1] * per_sigma,
        (now - close[-4]) * per_sigma / _ROOT[3],
        (now - close[-6]) * per_sigma / _ROOT[5],
        (now - close[-11]) * per_sigma / _ROOT[10],
        (now - close[-21]) * per_sigma / _ROOT[20],
        (now - close[0]) * per_sigma / _ROOT[SPAN],
        max(-FEATURE_LIMIT, min(FEATURE_LIMIT, log(sigma / _UNIT_VOLATILITY))) if sigma > 0.0 else 0.0,
        _log_ratio(sqrt(sum(squares[-5:]) / 5.0), sigma),
        _log_ratio(sqrt(sum(squares[-10:]) / 10.0), sigma),
        _log_ratio(sqrt(sum(squares[-20:]) / 20.0), sigma),
        _log_ratio(sqrt(sum(squares[-30:]) / 30.0), sigma),
        dispersion,
        _log_ratio(sqrt(_PARKINSON * square_10 / 10.0), sigma),
        _log_ratio(sqrt(_PARKINSON * square_30 / 30.0), sigma),
        _log_ratio(sqrt(klass_10 / 10.0), sigma),
        _log_ratio(sqrt(klass_30 / 30.0), sigma),
        _log_ratio(sqrt(max(0.0, sum(series.satchell[-20:])) / 20.0), sigma),
        _log_ratio(log_range, sum(ranges) / SPAN),
        candle_body,
        0.5 * (shadows - balance),
        0.5 * (shadows + balance),
        sum(series.candle_body[-5:]) / 5.0,
        sum(series.shadow_balance[-10:]) / 10.0,
        max(-FEATURE_LIMIT, min(FEATURE_LIMIT, series.open_gap[-1] * per_sigma)),
        _dot(_EMA_5, returns) * per_sigma,
        _dot(_EMA_12, returns) * per_sigma,
        _dot(_EMA_26, returns) * per_sigma,
        _dot(_MACD, returns) * per_sigma,
        _dot(_MACD_HISTOGRAM, returns) * per_sigma,
        _ratio(now - close[-21], sum(absolute[-20:])),
        _ratio(now - close[0], path),
        _ratio(_dot(_WILDER_7, returns), _dot(_WILDER_7, absolute)),
        _ratio(_dot(_WILDER_14, returns), _dot(_WILDER_14, absolute)),
        _ratio(-mean_20, deviation_20),
        _log_ratio(deviation_20, sigma * _WALK_20),
        _position(now, high[-14:], low[-14:]),
        _position(now, high[-SPAN:], low[-SPAN:]),
        (highs.index(max(highs)) - lows.index(min(lows))) / 24.0,
        _ratio(-volume_mean_20, volume_deviation_20),
        _ratio(-volume_mean_60, volume_deviation_60),
        _log_ratio(sum(volume[-5:]) / 5.0, sum(volume[-SPAN:]) / SPAN),
        _ratio(signed_volume, sum(volume_10)),
        _correlation(volume[-30:], absolute[-30:]),
        _dot(returns[1:], returns[:-1]) * per_sigma * per_sigma / SPAN,
        _dot(squares, returns) * per_sigma * per_sigma * per_sigma / SPAN,
        sin(day),
        cos(day),
        sin(week),
        cos(week),
        log1p(since_gap) / log1p(SPAN),
    ]


def _correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Pearson's correlation, in [-1, 1]; 0 where either side is constant."""
    mean_left, mean_right = sum(left) / len(left), sum(right) / len(right)
    x = [value - mean_left for value in left]
    y = [value - mean_right for value in right]
    xx, yy = _dot(x, x), _dot(y, y)
    # Rounding leaves a ghost of variance in constant values: below this share of the level it is not one.
    floor = _SMALL * _SMALL * len(x)
    if xx <= floor * mean_left * mean_left or yy <= floor * mean_right * mean_right:
        return 0.0
    return max(-1.0, min(1.0, _dot(x, y) / (sqrt(xx) * sqrt(yy))))

"""The feature schema: the ordered table of the 50 features a window is made of, and its id.

Owns names, meanings and order. The formulas are in `model.feature_row`, which must yield values in this order; the id
changes with any change of the table, so a model never gets features it was not trained on. Change `VERSION` when a
formula changes under an unchanged description.

Notation of the descriptions: `C`, `H`, `L`, `O`, `V` are close, high, low, open, volume of the newest bar; `r` is
the one-bar log return `ln(C / previous C)`; `s` is the root mean square of `r` over the last 60 bars, the yardstick
that makes the features free of price scale. Where a divisor is zero (constant prices, no volume) the feature is 0.
Logarithms of ratios are clipped to +-5, `volatility_level` to +-10.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

VERSION: Final = 1

# No value leaves [-FEATURE_LIMIT, FEATURE_LIMIT], so one wild bar cannot swamp a network.
FEATURE_LIMIT: Final = 10.0

# Sixty returns need sixty-one closes. No feature looks further back, so the newest 61 bars decide a row entirely.
MAX_LOOKBACK: Final = 61


@dataclass(frozen=True, slots=True)
class FeatureDefinition:
    """One feature.

    Attributes:
        name: Unique lower_snake name; a trailing number is the feature's span in bars.
        description: One line, in the notation of this module's docstring.
        lookback: Bars, the newest included, that can alter the value; 1 to `MAX_LOOKBACK`.
    """

    name: str
    description: str
    lookback: int


def _define(name: str, description: str, lookback: int = MAX_LOOKBACK) -> FeatureDefinition:
    return FeatureDefinition(name, description, lookback)


FEATURES: Final[tuple[FeatureDefinition, ...]] = (
    # Returns, in standard deviations of a random walk over the same span.
    _define("return_1", "r / s"),
    _define("return_3", "log return over 3 bars / (s * sqrt(3))"),
    _define("return_5", "log return over 5 bars / (s * sqrt(5))"),
    _define("return_10", "log return over 10 bars / (s * sqrt(10))"),
    _define("return_20", "log return over 20 bars / (s * sqrt(20))"),
    _define("return_60", "log return over 60 bars / (s * sqrt(60))"),
    # Realised volatility from closes.
    _define("volatility_level", "ln(s / 0.001)"),
    _define("volatility_ratio_5", "ln(root mean square of r over 5 bars / s)"),
    _define("volatility_ratio_10", "ln(root mean square of r over 10 bars / s)"),
    _define("volatility_ratio_20", "ln(root mean square of r over 20 bars / s)"),
    _define("volatility_ratio_30", "ln(root mean square of r over 30 bars / s)"),
    _define("volatility_dispersion_60", "standard deviation of |r| / mean of |r| over 60 bars"),
    # Volatility from the bars' ranges.
    _define("parkinson_ratio_10", "ln(Parkinson (1980) volatility over 10 bars / s)"),
    _define("parkinson_ratio_30", "ln(Parkinson (1980) volatility over 30 bars / s)"),
    _define("garman_klass_ratio_10", "ln(Garman-Klass (1980) volatility over 10 bars / s)"),
    _define("garman_klass_ratio_30", "ln(Garman-Klass (1980) volatility over 30 bars / s)"),
    _define("rogers_satchell_ratio_20", "ln(Rogers-Satchell (1991) volatility over 20 bars / s)"),
    _define("range_ratio_1", "ln(ln(H / L) / its mean over 60 bars)", 60),
    # Shape of the candles.
    _define("candle_body", "(C - O) / (H - L), in logs", 1),
    _define("candle_upper_shadow", "(H - max(O, C)) / (H - L), in logs", 1),
    _define("candle_lower_shadow", "(min(O, C) - L) / (H - L), in logs", 1),
    _define("candle_body_mean_5", "mean of candle_body over 5 bars", 5),
    _define("shadow_balance_10", "mean of candle_lower_shadow - candle_upper_shadow over 10 bars", 10),
    _define("open_gap", "ln(O / previous C) / s, clipped to +-10"),
    # Trend: linear filters of r with unit Euclidean norm, divided by s, so white noise gives variance 1.
    _define("ema_distance_5", "ln C less its 5-bar exponential mean (60 bars, truncated), unit norm, / s"),
    _define("ema_distance_12", "ln C less its 12-bar exponential mean (60 bars, truncated), unit norm, / s"),
    _define("ema_distance_26", "ln C less its 26-bar exponential mean (60 bars, truncated), unit norm, / s"),
    _define("macd_12_26", "12-bar less 26-bar exponential mean of ln C (60 bars, truncated), unit norm, / s"),
    _define("macd_histogram_9", "that MACD less its own 9-bar exponential mean, unit norm, / s"),
    _define("trend_efficiency_20", "log return over 20 bars / sum of |r| over 20 bars", 21),
    _define("trend_efficiency_60", "log return over 60 bars / sum of |r| over 60 bars"),
    # Oscillators.
    _define("rsi_7", "Wilder (1978) relative strength of r, 7 bars (60, truncated), mapped from 0..100 to -1..1"),
    _define("rsi_14", "Wilder (1978) relative strength of r, 14 bars (60, truncated), mapped from 0..100 to -1..1"),
    _define("bollinger_position_20", "(ln C - mean) / standard deviation of ln C over 20 bars", 20),
    _define("bollinger_width_20", "ln(standard deviation of ln C over 20 bars / (s * sqrt(10 / 3)))"),
    _define("stochastic_14", "position of ln C between lowest L (-1) and highest H (+1) of 14 bars", 14),
    _define("stochastic_60", "position of ln C between lowest L (-1) and highest H (+1) of 60 bars", 60),
    _define("aroon_25", "(age of the lowest L - age of the highest H) / 24 over 25 bars, the oldest of equals", 25),
    # Volume.
    _define("volume_zscore_20", "(V - mean) / standard deviation of V over 20 bars", 20),
    _define("volume_zscore_60", "(V - mean) / standard deviation of V over 60 bars", 60),
    _define("volume_ratio_5", "ln(mean of V over 5 bars / mean over 60 bars)", 60),
    _define("volume_balance_10", "sum of V * sign(r) / sum of V over 10 bars", 11),
    _define("volume_volatility_correlation_30", "correlation of V and |r| over 30 bars", 31),
    # Shape of the returns' distribution.
    _define("return_autocorrelation_60", "sum of r * previous r / sum of r^2 over 60 bars"),
    _define("return_skewness_60", "mean of r^3 over 60 bars / s^3"),
    # Calendar, from the bar's start in UTC.
    _define("day_phase_sin", "sine of the time of day", 1),
    _define("day_phase_cos", "cosine of the time of day", 1),
    _define("week_phase_sin", "sine of the time since Monday 00:00, over one week", 1),
    _define("week_phase_cos", "cosine of the time since Monday 00:00, over one week", 1),
    _define("bars_since_gap", "ln(1 + n) / ln(61), n = bars since the last gap in time, at most 60"),
)

FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
FEATURE_COUNT: Final = 50


def _schema_id() -> str:
    """Returns the readable prefix and a short hash of version, order, names, descriptions and lookbacks."""
    lines = [f"{VERSION}", *(f"{f.name}|{f.description}|{f.lookback}" for f in FEATURES)]
    return f"bars-v{VERSION}-{sha256(chr(10).join(lines).encode()).hexdigest()[:8]}"


SCHEMA_ID: Final = _schema_id()

"""Writes `docs/features.md` from the feature table: `python -m model.feature_document > docs/features.md`."""

import sys

from model.feature_schema import FEATURE_COUNT, FEATURE_LIMIT, FEATURES, MAX_LOOKBACK, SCHEMA_ID

_HEAD = f"""# The {FEATURE_COUNT} features

Generated from `model/feature_schema.py` by `python -m model.feature_document > docs/features.md`; a test fails when the
two differ. The formulas are in `model/feature_row.py`.

Schema id: `{SCHEMA_ID}`

A window is {FEATURE_COUNT} features by 60 bars, feature-major, the newest bar last. Each row of features is a
function of the newest {MAX_LOOKBACK} bars and the bar interval alone, so the first row comes with bar {MAX_LOOKBACK}
and the first window with bar {MAX_LOOKBACK + 59}. Every value is finite and within +-{FEATURE_LIMIT:g}.

`C`, `H`, `L`, `O`, `V` are close, high, low, open and volume of the newest bar; `r` is the one-bar log return
`ln(C / previous C)`; `s` is the root mean square of `r` over the last 60 bars. Where a divisor is zero (constant
prices, no volume) a feature is 0. Logarithms of ratios are clipped to +-5, `volatility_level` to +-10. "Lookback" is
how many bars, the newest included, can alter the value. A gap is two bar starts more than 1.5 intervals apart.

| # | name | what it is | lookback |
|---|---|---|---|
"""


def feature_document() -> str:
    """Returns the document's text."""
    # A bar within a cell must be escaped in Markdown tables.
    rows = (
        f"| {number} | `{f.name}` | {f.description.replace('|', chr(92) + '|')} | {f.lookback} |\n"
        for number, f in enumerate(FEATURES, start=1)
    )
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(feature_document())

"""The few shapes of PromQL that the panels are made of. Pure; knows no metric by name.

Every query is about one installation, `job="$job"`, and over `$__rate_interval`, which Grafana makes at least four
scrapes long: a shorter one would have holes.
"""

RANGE = "$__rate_interval"


def series(name: str, where: str = "", *, span: str = "") -> str:
    """Returns a selector of `name`, with further matchers in `where`; over `span` if one is given."""
    matchers = ", ".join(part for part in ('job="$job"', where) if part)
    return f"{name}{{{matchers}}}" + (f"[{span}]" if span else "")


def aggregated(function: str, by: str, inner: str) -> str:
    """Returns `inner` put together by `function`, one series for each value of the labels in `by`."""
    return f"{function} by ({by}) ({inner})" if by else f"{function}({inner})"


def rate(name: str, by: str = "", where: str = "", *, span: str = RANGE) -> str:
    """Returns how fast a counter grows, a second."""
    return aggregated("sum", by, f"rate({series(name, where, span=span)})")


def total(name: str, by: str = "", where: str = "") -> str:
    """Returns the sum of a gauge."""
    return aggregated("sum", by, series(name, where))


def highest(name: str, by: str = "", where: str = "") -> str:
    """Returns the largest value of a gauge."""
    return aggregated("max", by, series(name, where))


def quantile(share: float, name: str, by: str = "", where: str = "", *, span: str = RANGE) -> str:
    """Returns a quantile of a histogram, 0 to 1."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{name}_bucket', labels, where, span=span)})"


def mean(name: str, by: str = "", where: str = "") -> str:
    """Returns the mean of a histogram's values."""
    return ratio(rate(f"{name}_sum", by, where), rate(f"{name}_count", by, where))


def ratio(numerator: str, denominator: str) -> str:
    """Returns one by the other; nothing where nothing happened."""
    return f"{numerator} / {denominator}"

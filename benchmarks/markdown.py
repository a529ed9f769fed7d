"""Words for figures in Markdown reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; the first column is text, the others are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, *, unit: str = "", digits: int = 3) -> str:
    """Returns a figure with `digits` significant digits, or a dash where there is none."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    if "e+" in text:  # it is large, or was rounded up to be: 999.7 has as many digits as 1000
        text = f"{value:.0f}"
    return f"{text} {unit}".rstrip()


def percent(share: float | None) -> str:
    """Returns a share in percent, to a tenth, or a dash where there is none; only a whole is 100 %."""
    if share is None:
        return "-"
    # Rounded down above a half: 99.96 % must not read as all of them.
    tenths = int(1000 * share + 1e-9) if share > 0.5 else round(1000 * share)
    return f"{tenths / 10:.1f} %"


def spread(values: Mapping[str, float | None], *, unit: str = "", digits: int = 3) -> str:
    """Returns `median (least to greatest)`."""
    if values["median"] is None:
        return "-"
    ends = f"{number(values['min'], digits=digits)} to {number(values['max'], digits=digits)}"
    return f"{number(values['median'], unit=unit, digits=digits)} ({ends})"

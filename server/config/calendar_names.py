"""Names of the calendars that autoscaling may follow: those of exchange_calendars, and the week of foreign exchange.

Written down because the library takes a second to import and brings pandas along, which settings must not; a test
compares the two.
"""

from __future__ import annotations

FX_WEEK = "24x5"
"""Foreign exchange: from Sunday 17:00 to Friday 17:00, New York's time."""

# fmt: off
EXCHANGE_CALENDARS = frozenset({
    "24/5", "24/7", "AIXK", "ASEX", "BVMF", "CMES", "IEPA", "XAMS", "XASX", "XBDA", "XBEL", "XBKK", "XBOG", "XBOM",
    "XBRA", "XBRU", "XBSE", "XBUD", "XBUE", "XCBF", "XCSE", "XCYS", "XDUB", "XDUS", "XEEE", "XETR", "XEUR", "XFRA",
    "XHAM", "XHEL", "XHKG", "XICE", "XIDX", "XIST", "XJSE", "XKAR", "XKLS", "XKRX", "XLIM", "XLIS", "XLIT", "XLJU",
    "XLON", "XLUX", "XMAD", "XMEX", "XMIL", "XMOS", "XNYS", "XNZE", "XOSL", "XPAR", "XPHS", "XPRA", "XRIS", "XSAU",
    "XSES", "XSGO", "XSHG", "XSTO", "XSTU", "XSWX", "XTAE", "XTAI", "XTAL", "XTKS", "XTSE", "XWAR", "XWBO", "XZAG",
    "us_futures",
})
# fmt: on
"""By market identifier code (ISO 10383), with some names beside; `24/5` is Monday to Friday by UTC's days."""

"""Figures for people: short, and as wide at most as their columns. Pure."""

import math

BAR = 10
"""Cells of an evidence bar."""


def evidence_bar(evidence: float, limit: float) -> str:
    """Evidence on its way to the limit, by orders of magnitude: an e-value of 1 says nothing, the
    limit decides."""
    if not math.isfinite(evidence) or evidence >= limit:
        part = 1.0
    else:
        part = math.log(evidence) / math.log(limit) if evidence > 1 < limit else 0.0
    full = math.floor(part * BAR)
    return "█" * full + "░" * (BAR - full)


def format_rate(value: float) -> str:
    """Requests a second: `0.4`, `92.1`, `12,346`."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def format_share(value: float) -> str:
    """A share in 0..1 as a percentage that keeps small ones apart: `0.35%`, `12%`."""
    percent = value * 100
    return f"{percent:.0f}%" if percent >= 10 or not percent else f"{percent:.2g}%"


def format_count(number: int) -> str:
    """A number of requests, short: `940`, `12.4k`, `3.1M`."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def format_milliseconds(value: float) -> str:
    """Milliseconds, or seconds where they are many: `12.1 ms`, `340 ms`, `2.5 s`."""
    if not math.isfinite(value):
        return ">1 h"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def format_e_value(value: float) -> str:
    """An e-value, short: `3.2`, `210`, `1e+09`."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.2g}"

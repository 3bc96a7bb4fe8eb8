"""The units of a service file: durations, shares, weights.

One notation for people (`250ms`, `5s`, `2m`, `6h`; `5%` or `0.05`), one for the program: seconds as float,
shares as float in 0..1, weights as whole basis points.
"""

import math
import re

TOTAL_WEIGHT = 10_000
"""Basis points. The weights of a service always total this, so that hash-sticky users never flip back."""

# ASCII and \Z: no digits of other scripts, and no line break at the end.
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)\Z", re.ASCII)
_SHARE = re.compile(r"(\d{1,9}(?:\.\d{1,15})?)(%?)\Z", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object) -> float:
    """Seconds in a duration such as `250ms`, `5s`, `2m`, `6h`, `1d`. ValueError says what would be valid."""
    match = _DURATION.match(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"a duration such as 250ms, 5s, 2m or 6h is needed, not {_quoted(text)}")
    return float(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest notation that `parse_duration` reads back, rounded to milliseconds."""
    millis = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return "0s" if millis == 0 else f"{millis}ms"


def parse_seconds(value: object) -> float:
    """Seconds from a number of seconds or from a duration such as `5s`. ValueError says what would be valid."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return parse_duration(value)
    if not math.isfinite(seconds):
        raise ValueError(f"seconds, or a duration such as 250ms, 5s, 2m or 6h, are needed, not {_quoted(value)}")
    return seconds


def parse_share(value: object) -> float:
    """A share in 0..1 from `5%` or `0.05`. ValueError says what would be valid."""
    match = _SHARE.match(value) if isinstance(value, str) else None
    if match:
        share = float(match[1]) / (100 if match[2] else 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = value
    else:
        raise ValueError(f"a share such as 5% or 0.05 is needed, not {_quoted(value)}")
    if not 0 <= share <= 1:  # false for NaN too
        raise ValueError(f"a share lies between 0% and 100%, not {_quoted(value)}")
    return float(share)


def to_basis_points(share: float) -> int:
    """A share as whole basis points. ValueError if it is not a multiple of one."""
    weight = round(share * TOTAL_WEIGHT)
    if abs(share * TOTAL_WEIGHT - weight) > 1e-6:
        raise ValueError(f"shares are multiples of 0.01%, not {share * 100:g}%")
    return weight


def format_weight(weight: int) -> str:
    """Basis points as a percentage: 500 -> `5%`."""
    return f"{weight / 100:g}%"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 line`, `2 lines`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def percentage_points(share: float, digits: int = 6) -> str:
    """A difference of shares: 0.001 -> `0.1 percentage points`, 0.01 -> `1 percentage point`."""
    shown = f"{share * 100:.{digits}g}"
    return f"{shown} percentage point" + ("" if shown == "1" else "s")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

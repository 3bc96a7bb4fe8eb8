"""Benchmarks: each module here has a `run()` that returns rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was measured, in which case, how much of which unit."""

    what: str
    case: str
    value: float
    unit: str

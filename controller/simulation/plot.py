"""Small plots for a terminal."""

from collections.abc import Sequence

from controller.core.base.units import format_duration
from controller.simulation.summary import Summary

_BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 60


def bars(shares: Sequence[float]) -> str:
    """One character for each share in 0..1. What is not nothing shows."""
    return "".join(_BARS[0 if share <= 0 else max(1, min(8, round(share * 8)))] for share in shares)


def course(summary: Summary) -> list[str]:
    """How the rollouts went over time: the canary's mean share, and the parts rolled back and promoted by then."""
    times = [point[0] for point in summary.course]
    end = format_duration(round(times[-1]))
    rows = (("canary's share", 3), ("rolled back", 1), ("promoted", 2))
    lines = [f"  {label:>14} |{bars([point[i] for point in summary.course])}|" for label, i in rows]
    return [*lines, f"  {'':>14}  0s{end:>{len(times) - 2}}"]

"""Evidence over time as a line of block characters. Pure."""

import math
from collections.abc import Callable, Sequence

from controller.pb.haldane.admin.v1 import admin_pb2 as pb

CELLS = 30
"""Cells of a sparkline."""
LEVELS = "▁▂▃▄▅▆▇█"
"""On a logarithmic scale: the lowest is an e-value of 1, no evidence; the highest is the limit,
which decides."""

Value = Callable[[pb.EvidencePoint], float]


def sparkline(history: Sequence[pb.EvidencePoint], value: Value, limit: float, *, counts: bool = False) -> str:
    """The value over time, the highest of each cell; a cell without a point repeats the one before.

    The scale is logarithmic, or linear with `counts`.
    """
    first, last = history[0].time, history[-1].time
    cells: list[float | None] = [None] * CELLS
    for point in history:
        cell = min(CELLS - 1, int((point.time - first) / (last - first) * CELLS)) if last > first else 0
        cells[cell] = max(cells[cell] or 0.0, value(point))
    line, before = "", 0.0 if counts else 1.0
    for highest in cells:
        before = before if highest is None else highest
        line += LEVELS[_level(before, limit, counts=counts)]
    return line


def _level(evidence: float, limit: float, *, counts: bool) -> int:
    if not math.isfinite(evidence) or evidence >= limit:
        return len(LEVELS) - 1
    logarithm = math.log(evidence) / math.log(limit) if evidence > 1 < limit else 0.0
    part = evidence / limit if counts else logarithm
    return min(len(LEVELS) - 2, int(part * (len(LEVELS) - 1)))

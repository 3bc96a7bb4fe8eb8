"""An explanation of a rollout, for a person who was woken up: the answer first, then the evidence. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.cli.figures import NAME, clipped, figure
from controller.cli.words import awaited, clean, clock, event_line, span
from controller.core.units import format_parts
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

CELLS = 30
"""Cells of a sparkline."""
LEVELS = "▁▂▃▄▅▆▇█"
"""By orders of magnitude: the lowest is an e-value of 1, which says nothing; the highest the limit, which decides."""
QUIET = 2.0
"""Channels that never had more evidence than this are told in one line all together."""

Value = Callable[[pb.EvidencePoint], float]


def explained(told: pb.Explanation, now: float) -> RenderableType:
    """All of it. `now` is Unix seconds."""
    return Group(
        _head(told), *_answer(told, now), Text(), *_evidence(told), *_gates(told), Text(), *_decisions(told, now)
    )


def sparkline(history: Sequence[pb.EvidencePoint], value: Value, limit: float) -> str:
    """The evidence over time, the highest of each cell; a cell without a point is as the one before."""
    first, last = history[0].time, history[-1].time
    cells: list[float | None] = [None] * CELLS
    for point in history:
        cell = min(CELLS - 1, int((point.time - first) / (last - first) * CELLS)) if last > first else 0
        cells[cell] = max(cells[cell] or 0.0, value(point))
    line, before = "", 1.0
    for found in cells:
        before = before if found is None else found
        line += LEVELS[_level(before, limit)]
    return line


def _level(evidence: float, limit: float) -> int:
    if not math.isfinite(evidence) or evidence >= limit:
        return len(LEVELS) - 1
    part = math.log(evidence) / math.log(limit) if evidence > 1 < limit else 0.0
    return min(len(LEVELS) - 2, int(part * (len(LEVELS) - 1)))


def _head(told: pb.Explanation) -> Text:
    line = Text.assemble((clean(told.service), "bold"), f"  {clean(told.canary)} against {clean(told.stable)}")
    phase = told.rollout.phase if told.HasField("rollout") else "an earlier rollout"
    weight = told.rollout.weights.get(told.canary, 0)
    return line.append(f"  {phase}" + (f" at {format_parts(weight)}" if weight else ""))


def _answer(told: pb.Explanation, now: float) -> Iterator[RenderableType]:
    """Why it is as it is: the newest decision, what was seen then, and what is awaited."""
    if told.decisions:
        newest = next((e for e in reversed(told.decisions) if e.kind == "rollback"), told.decisions[-1])
        by = f" on {told.decided}" if told.decided and newest.kind == "rollback" else ""
        ago = span(now - newest.at)
        yield Text(f"{newest.kind} by {clean(newest.who)}{by}, {clock(newest.at, now)}, {ago} ago:", "bold")
        yield Padding(Text(clean(newest.why)), (0, 0, 0, 2))
    for reason in awaited(told.rollout) if told.HasField("rollout") else ():
        yield Text(f"now: {clean(reason)}")


def _evidence(told: pb.Explanation) -> Iterator[RenderableType]:
    if told.missing or not told.history:
        yield Text(f"no evidence over time: {told.missing or 'nothing has been seen yet'}", "yellow")
        return
    first, last = told.history[0], told.history[-1]
    watched = span(last.time - first.time)
    yield Text(f"evidence of harm over {watched} of watching (1 says nothing, the limit takes it back)", "bold")
    peaks = {
        reason.channel: max(point.harm.get(reason.channel, 0.0) for point in told.history) for reason in told.channels
    }
    loud = [reason for reason in told.channels if peaks[reason.channel] > QUIET or reason.channel == told.decided]
    loud.sort(key=lambda reason: (reason.channel != told.decided, -peaks[reason.channel] / max(reason.limit, 1.0)))
    table = _table()
    _row(table, "all together", sparkline(told.history, lambda p: p.total, told.limit), last.total, told.limit)
    for reason in loud:
        name = reason.channel
        line = sparkline(told.history, lambda p, name=name: p.harm.get(name, 1.0), reason.limit)  # type: ignore[misc]
        _row(table, name, line, reason.evidence, reason.limit, decided=name == told.decided)
    yield table
    for reason in loud:
        yield Padding(Text(f"{clipped(reason.channel)}: {clean(reason.text)}", "dim"), (0, 0, 0, 2))
    quiet = [reason.channel for reason in told.channels if reason not in loud]
    if quiet:
        yield Padding(Text(f"nothing on {', '.join(quiet)}", "dim"), (0, 0, 0, 2))
    yield Text()


def _gates(told: pb.Explanation) -> Iterator[RenderableType]:
    if not told.history or not told.gates:
        return
    yield Text("evidence of no harm, at the gate that was reached last (the limit opens it)", "bold")
    table = _table()
    for reason in told.gates:
        name = reason.channel
        line = sparkline(told.history, lambda p, name=name: p.no_harm.get(name, 1.0), reason.limit)  # type: ignore[misc]
        _row(table, name, line, reason.evidence, reason.limit)
    yield table


def _decisions(told: pb.Explanation, now: float) -> Iterator[RenderableType]:
    yield Text("the ledger", "bold")
    for event in told.decisions:
        yield Padding(Text(event_line(event, now)), (0, 0, 0, 2))


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=NAME, no_wrap=True)
    table.add_column(width=CELLS, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    return table


def _row(table: Table, name: str, line: str, evidence: float, limit: float, *, decided: bool = False) -> None:
    reached = evidence >= limit
    colour = "red" if decided else "cyan"
    said = f"of {figure(limit)}" + (", decided" if decided else ", reached" if reached else "")
    table.add_row(Text(clipped(name), "bold" if decided else ""), Text(line, colour), figure(evidence), said)

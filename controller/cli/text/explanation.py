"""An explanation of a rollout, for a person who was woken up: the answer first, then the evidence. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.cli.text.fitted_table import clip_name
from controller.cli.text.lines import awaited, event_line, freeze_line
from controller.cli.text.numbers import format_e_value
from controller.cli.text.values import clean, format_span, format_time
from controller.cli.text.watch_screen import ENDED
from controller.core.base.units import format_weight
from controller.core.control.blocker import BlockerKind
from controller.core.model.ledger_kind import LedgerKind
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NAME = 14
"""Characters of a channel's name."""
CELLS = 30
"""Cells of a sparkline."""
LEVELS = "▁▂▃▄▅▆▇█"
"""By orders of magnitude: the lowest is an e-value of 1, which says nothing; the highest the limit, which decides."""
QUIET = 2.0
"""Channels that never had more evidence than this are told in one line all together."""

UNKNOWN = "metric_unknown"
"""The code of a custom metric that cannot be read now."""

Value = Callable[[pb.EvidencePoint], float]


def explained(told: pb.Explanation, now: float) -> RenderableType:
    """All of it. `now` is Unix seconds."""
    return Group(
        _head(told), *_answer(told, now), Text(), *_evidence(told), *_gates(told), Text(), *_decisions(told, now)
    )


def sparkline(history: Sequence[pb.EvidencePoint], value: Value, limit: float, *, counts: bool = False) -> str:
    """The evidence over time, the highest of each cell; a cell without a point is as the one before.

    By orders of magnitude, unless `counts` are shown.
    """
    first, last = history[0].time, history[-1].time
    cells: list[float | None] = [None] * CELLS
    for point in history:
        cell = min(CELLS - 1, int((point.time - first) / (last - first) * CELLS)) if last > first else 0
        cells[cell] = max(cells[cell] or 0.0, value(point))
    line, before = "", 0.0 if counts else 1.0
    for found in cells:
        before = before if found is None else found
        line += LEVELS[_level(before, limit, counts=counts)]
    return line


def _level(evidence: float, limit: float, *, counts: bool) -> int:
    if not math.isfinite(evidence) or evidence >= limit:
        return len(LEVELS) - 1
    logarithm = math.log(evidence) / math.log(limit) if evidence > 1 < limit else 0.0
    part = evidence / limit if counts else logarithm
    return min(len(LEVELS) - 2, int(part * (len(LEVELS) - 1)))


def _head(told: pb.Explanation) -> Text:
    line = Text.assemble((clean(told.service), "bold"), f"  {clean(told.canary)} against {clean(told.stable)}")
    phase = told.rollout.phase if told.HasField("rollout") else "an earlier rollout"
    weight = told.rollout.weights.get(told.canary, 0)
    return line.append(f"  {phase}" + (f" at {format_weight(weight)}" if weight else ""))


def _answer(told: pb.Explanation, now: float) -> Iterator[RenderableType]:
    """Why it is as it is: the newest decision, what was seen then, and what is awaited."""
    if told.decisions:
        newest = next((e for e in reversed(told.decisions) if e.kind == LedgerKind.ROLLBACK), told.decisions[-1])
        by = f" on {told.decided}" if told.decided and newest.kind == LedgerKind.ROLLBACK else ""
        ago = format_span(now - newest.at)
        yield Text(f"{newest.kind} by {clean(newest.who)}{by}, {format_time(newest.at, now)}, {ago} ago:", "bold")
        yield Padding(Text(clean(newest.why)), (0, 0, 0, 2))
    if told.HasField("rollout"):
        yield from _now(told.rollout)


def _now(rollout: pb.Rollout) -> Iterator[RenderableType]:
    """What stands in the way; what has yet to be shown at the gate is told there, and why it is paused above."""
    blockers = awaited(rollout) if rollout.blocker.kind != BlockerKind.PAUSE else []
    for reason in (*map(freeze_line, rollout.freezes), *blockers):
        yield Text(f"now: {clean(reason)}")
    if rollout.phase in ENDED or not rollout.verdict:
        return
    yield Text(f"now: the verdict is {rollout.verdict}", "bold" if rollout.verdict == "harm" else "")
    grounds = [ground.text for ground in rollout.details if ground.code != "insufficient"]
    if len(grounds) < len(rollout.details):
        grounds.append("not all of the gate's metrics are shown to be harmless yet: see below")
    for text in grounds:
        yield Padding(Text(clean(text)), (0, 0, 0, 2))


def _evidence(told: pb.Explanation) -> Iterator[RenderableType]:
    if told.missing:
        rest = "; what follows is from the ledger, of the decisions alone" if told.history else ""
        yield Text(f"no evidence over time: {told.missing}{rest}", "yellow")
    elif not told.history:
        yield Text("no evidence yet: nothing has been seen", "yellow")
    if not told.history:
        return
    first, last = told.history[0], told.history[-1]
    watched = format_span(last.time - first.time)
    yield Text(f"evidence of harm over {watched} of watching (1 says nothing, the limit takes it back)", "bold")
    peaks = {
        reason.channel: max(point.harm.get(reason.channel, 0.0) for point in told.history) for reason in told.channels
    }
    gauges = [reason for reason in told.channels if any(reason.channel in point.worse for point in told.history)]
    rates = [reason for reason in told.channels if reason not in gauges]
    loud = [reason for reason in rates if peaks[reason.channel] > QUIET or reason.channel == told.decided]
    loud.sort(key=lambda reason: (reason.channel != told.decided, -peaks[reason.channel] / max(reason.limit, 1.0)))
    table = _table()
    _row(table, "all together", sparkline(told.history, lambda p: p.total, told.limit), last.total, told.limit)
    for reason in loud:
        name = reason.channel
        line = sparkline(told.history, lambda p, name=name: p.harm.get(name, 1.0), reason.limit)  # type: ignore[misc]
        _row(table, name, line, reason.evidence, reason.limit, decided=name == told.decided)
    yield table
    yield from map(_words, loud)
    quiet = [reason.channel for reason in rates if reason not in loud and reason.code != UNKNOWN]
    if quiet:
        yield Padding(Text(f"nothing on {', '.join(quiet)}", "dim"), (0, 0, 0, 2))
    for reason in told.channels:
        if reason.code == UNKNOWN and reason not in loud and reason not in gauges:
            yield Padding(Text(clean(reason.text), "yellow"), (0, 0, 0, 2))
    yield Text()
    yield from _gauges(told, gauges)


def _gauges(told: pb.Explanation, gauges: Sequence[pb.ReasonInfo]) -> Iterator[RenderableType]:
    """The custom gauges, which have no evidence but counts."""
    if not gauges:
        return
    yield Text("worse among the last readings of each gauge (so many take it back)", "bold")
    table = _table()
    for reason in gauges:
        name = reason.channel
        line = sparkline(told.history, lambda p, name=name: p.worse.get(name, 0), reason.limit, counts=True)  # type: ignore[misc]
        _row(table, name, line, reason.evidence, reason.limit, decided=name == told.decided)
    yield table
    yield from map(_words, gauges)
    yield Text()


def _words(reason: pb.ReasonInfo) -> RenderableType:
    """A channel in words, with its name before it where they do not begin with it."""
    name, text = clip_name(reason.channel, NAME), clean(reason.text)
    return Padding(Text(text if text.startswith(f"{name}:") else f"{name}: {text}", "dim"), (0, 0, 0, 2))


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
    said = f"of {format_e_value(limit)}" + (", decided" if decided else ", reached" if reached else "")
    table.add_row(
        Text(clip_name(name, NAME), "bold" if decided else ""), Text(line, colour), format_e_value(evidence), said
    )

"""The tables of an explanation: evidence of harm by channel, counts of the custom gauges, evidence
of no harm. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.cli.text.fitted_table import clip_name
from controller.cli.text.numbers import format_e_value
from controller.cli.text.sparkline import CELLS, Value, sparkline
from controller.cli.text.values import format_span
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NAME = 14
"""Characters of a channel's name."""
QUIET = 2.0
"""Channels that never had more evidence than this share one line."""
UNREADABLE = "metric_unknown"
"""The code of a custom metric that cannot be read now."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of an explanation by how they are shown; each is in one group, unreadable rates
    in two."""

    gauges: Sequence[pb.ReasonInfo]
    """Custom gauges, which have no evidence but counts."""
    loud: Sequence[pb.ReasonInfo]
    """Rates with evidence, the one that decided first, then by how near the limit they came."""
    quiet: Sequence[pb.ReasonInfo]
    unreadable: Sequence[pb.ReasonInfo]

    @classmethod
    def of(cls, explanation: pb.Explanation) -> "Channels":
        """The groups of an explanation's channels."""
        history, decided = explanation.history, explanation.decided
        gauges = [c for c in explanation.channels if any(c.channel in point.worse for point in history)]
        rates = [c for c in explanation.channels if c not in gauges]
        peaks = {c.channel: max((point.harm.get(c.channel, 0.0) for point in history), default=0.0) for c in rates}
        loud = [c for c in rates if peaks[c.channel] > QUIET or c.channel == decided]
        loud.sort(key=lambda c: (c.channel != decided, -peaks[c.channel] / max(c.limit, 1.0)))
        rest = [c for c in rates if c not in loud]
        quiet = [c for c in rest if c.code != UNREADABLE]
        return cls(gauges, loud, quiet, [c for c in rest if c.code == UNREADABLE])


def harm_evidence(explanation: pb.Explanation) -> Iterator[RenderableType]:
    """How the evidence of harm grew, by channel; or why there is none."""
    if explanation.missing:
        rest = "; what follows is from the ledger, of the decisions alone" if explanation.history else ""
        yield Text(f"no evidence over time: {explanation.missing}{rest}", "yellow")
    elif not explanation.history:
        yield Text("no evidence yet: nothing has been seen", "yellow")
    if not explanation.history:
        return
    channels = Channels.of(explanation)
    yield from _rates(explanation, channels)
    yield Text()
    yield from _gauges(explanation, channels.gauges)


def no_harm_evidence(explanation: pb.Explanation) -> Iterator[RenderableType]:
    """How the evidence of no harm grew, by metric, at the last step that was reached."""
    history = explanation.history
    if not history or not explanation.gates:
        return
    yield Text("evidence of no harm, at the gate that was reached last (the limit opens it)", "bold")
    table = _table()
    for metric in explanation.gates:
        line = sparkline(history, _no_harm(metric.channel), metric.limit)
        _add_row(table, metric, line)
    yield table


def _rates(explanation: pb.Explanation, channels: Channels) -> Iterator[RenderableType]:
    history = explanation.history
    watched = format_span(history[-1].time - history[0].time)
    yield Text(f"evidence of harm over {watched} of watching (1 says nothing, at the limit it is rolled back)", "bold")
    table = _table()
    total = pb.ReasonInfo(channel="all together", evidence=history[-1].total, limit=explanation.limit)
    _add_row(table, total, sparkline(history, lambda point: point.total, explanation.limit))
    for channel in channels.loud:
        line = sparkline(history, _harm(channel.channel), channel.limit)
        _add_row(table, channel, line, decided=channel.channel == explanation.decided)
    yield table
    yield from map(_sentence, channels.loud)
    if channels.quiet:
        names = ", ".join(channel.channel for channel in channels.quiet)
        yield Padding(Text(f"nothing on {names}", "dim"), (0, 0, 0, 2))
    for channel in channels.unreadable:
        yield Padding(Text(clean(channel.text), "yellow"), (0, 0, 0, 2))


def _gauges(explanation: pb.Explanation, gauges: Sequence[pb.ReasonInfo]) -> Iterator[RenderableType]:
    if not gauges:
        return
    yield Text("worse among the last readings of each gauge (at so many it is rolled back)", "bold")
    table = _table()
    for gauge in gauges:
        line = sparkline(explanation.history, _worse(gauge.channel), gauge.limit, counts=True)
        _add_row(table, gauge, line, decided=gauge.channel == explanation.decided)
    yield table
    yield from map(_sentence, gauges)
    yield Text()


def _harm(channel: str) -> Value:
    return lambda point: point.harm.get(channel, 1.0)


def _no_harm(channel: str) -> Value:
    return lambda point: point.no_harm.get(channel, 1.0)


def _worse(channel: str) -> Value:
    return lambda point: point.worse.get(channel, 0)


def _sentence(reason: pb.ReasonInfo) -> RenderableType:
    """A channel in a sentence that begins with its name."""
    name, text = clip_name(reason.channel, NAME), clean(reason.text)
    return Padding(Text(text if text.startswith(f"{name}:") else f"{name}: {text}", "dim"), (0, 0, 0, 2))


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=NAME, no_wrap=True)
    table.add_column(width=CELLS, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    return table


def _add_row(table: Table, reason: pb.ReasonInfo, line: str, *, decided: bool = False) -> None:
    reached = reason.evidence >= reason.limit
    remark = ", decided" if decided else ", reached" if reached else ""
    table.add_row(
        Text(clip_name(reason.channel, NAME), "bold" if decided else ""),
        Text(line, "red" if decided else "cyan"),
        format_e_value(reason.evidence),
        f"of {format_e_value(reason.limit)}{remark}",
    )

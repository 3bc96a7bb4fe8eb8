"""The screen of `watch` for one rollout: messages of the admin API -> what a person sees. Pure.

`watch` paints it, and so does the demo. It fits the width and the height that it is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.cli.text.fitted_table import Column, Label, clip_line, fitted_table
from controller.cli.text.lines import awaited, draining, format_changes, source_problems
from controller.cli.text.numbers import (
    evidence_bar,
    format_count,
    format_e_value,
    format_milliseconds,
    format_rate,
    format_share,
)
from controller.cli.text.values import (
    NONE,
    format_actor,
    format_proxies,
    format_scope,
    format_span,
    format_step_weight,
    format_time,
)
from controller.core.base.text import clean
from controller.core.base.units import format_weight
from controller.core.model.ledger_kind import LedgerKind
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

LEDGER_LINES = 6
"""Lines of the ledger where there is no height to fill."""

EXPLAINED = {
    "PAUSED": LedgerKind.PAUSED,
    "ROLLING_BACK": LedgerKind.ROLLBACK,
    "ROLLED_BACK": LedgerKind.ROLLED_BACK,
}
"""The phases whose cause is shown, each with the ledger line that gives it too."""
CLIMBING = ("WARMING", "PROGRESSING")
"""The phases that lead to the next share."""
ENDED = ("IDLE", "PROMOTED", "ROLLED_BACK")
"""The phases in which automation does nothing more."""

_COLOURS = {
    "PROMOTED": "green",
    "BAKING": "green",
    "PAUSED": "yellow",
    "AWAITING_APPROVAL": "yellow",
    "ROLLING_BACK": "red",
    "ROLLED_BACK": "red",
    "pass": "green",
    "harm": "red",
    "unknown": "yellow",
}
"""Of phases and verdicts; all others are cyan."""


@dataclass(frozen=True, slots=True)
class WatchScreen:
    """The whole screen.

    `events` are ledger lines, oldest first; `now` is Unix seconds; `notice` is shown in red.
    """

    rollout: pb.Rollout
    events: Sequence[pb.Event]
    now: float
    notice: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        upper = Group(*self._upper(options.max_width))
        yield upper
        room = LEDGER_LINES
        if options.height:
            used = len(console.render_lines(upper, options.update(height=None)))
            room = options.height - used - 2  # an empty line and the heading
        yield from _ledger(console, options, self.events, self.now, room)

    def _upper(self, width: int) -> Iterator[RenderableType]:
        """Everything but the ledger."""
        rollout = self.rollout
        newest_kind = self.events[-1].kind if self.events else ""
        yield _head(rollout, self.now)
        yield _steps(rollout, self.now)
        yield from _banners(rollout, self.now, self.notice)
        yield Text()
        yield _traffic(rollout, width)
        yield Text()
        yield from _verdict(rollout, newest_kind)
        yield from _evidence(rollout, width)
        yield from _next(rollout)
        yield from _stable(rollout)


def coloured(text: str, key: str = "", *, bold: bool = False) -> tuple[str, str]:
    """A phase or a verdict in its colour; `key` if the text is not the API's word."""
    colour = _COLOURS.get(key or text, "cyan")
    return text, f"bold {colour}" if bold else colour


def banner(text: str, style: str = "bold white on red") -> RenderableType:
    """A line across the whole width, for what must not be overlooked."""
    return Padding(Text(clean(text), style), (0, 1), style=style)


def _head(rollout: pb.Rollout, now: float) -> RenderableType:
    row = Table.grid(expand=True, padding=(0, 1, 0, 0))
    row.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    row.add_column(justify="right", no_wrap=True)
    left = Text.assemble(coloured(rollout.phase, bold=True), "  ", (clean(rollout.service), "bold"))
    if rollout.canary:
        left.append(f"  canary {clean(rollout.canary)}")
    row.add_row(left, Text(format_time(now, now), "dim"))
    return row


def _steps(rollout: pb.Rollout, now: float) -> Text:
    """The steps: done, present, to come; and how many proxies are in sync."""
    line = Text()
    for number, weight in enumerate(rollout.steps):
        style = "green" if number < rollout.step else "bold reverse" if number == rollout.step else "dim"
        line.append(f" {format_step_weight(weight)} ", style if rollout.weights.get(rollout.canary) else "dim")
    if rollout.steps:
        line.append(" > ", "dim")
        line.append("promotion", "green" if rollout.phase in ("PROMOTING", "BAKING", "PROMOTED") else "dim")
        line.append("   ")
    if rollout.started_at:
        line.append(f"started {format_time(rollout.started_at, now)}   ")
    behind = rollout.proxies_synced < rollout.proxies_total
    style = "bold red" if not rollout.proxies_total else "yellow" if behind else "green"
    return line.append(format_proxies(rollout.proxies_synced, rollout.proxies_total), style)


def _banners(rollout: pb.Rollout, now: float, notice: str) -> Iterator[RenderableType]:
    if notice:
        yield banner(notice)
    for freeze in rollout.freezes:
        yield banner(_frozen(freeze, now), "bold white on blue")
    if rollout.diverted:
        yield banner(f"ON THE FALLBACK: {rollout.diverted}")
    for text in source_problems(rollout.sources):
        yield banner(text, "bold black on yellow")


def _frozen(freeze: pb.FreezeInfo, now: float) -> str:
    word = "ON HOLD" if freeze.mode == "hold" else "FROZEN"
    left = format_span(freeze.until - now)
    end = f"until {format_time(freeze.until, now)}, {left} left" if freeze.until else "until it is lifted"
    since = format_time(freeze.since, now)
    return f"{word} ({format_scope(freeze.scope)}) by {format_actor(freeze)} since {since}, {end}: {freeze.reason}"


def _traffic(rollout: pb.Rollout, width: int) -> Text:
    """Canary and stable side by side: rates of the last seconds, and counts since the rollout
    started. Below them the requests that are not judged: pinned ones, copies, second attempts."""
    versions = [rollout.canary, rollout.stable, *(name for name, weight in rollout.weights.items() if weight)]
    names = list(dict.fromkeys(filter(None, versions)))
    roles = {rollout.canary: " canary", rollout.stable: " stable"}
    labels = [Label(name, roles.get(name, ""), "bold", "dim") for name in names]
    rows = [rollout.traffic[name] if name in rollout.traffic else pb.Traffic() for name in names]
    for cluster in sorted(name for name, traffic in rollout.unjudged.items() if traffic.requests):
        version, _, role = cluster.partition("/")
        labels.append(Label(version, f" {role}", "dim", "dim"))
        rows.append(rollout.unjudged[cluster])
    unnamed = [NONE] * (len(rows) - len(names))
    shares = [*(format_weight(rollout.weights.get(name, 0)) for name in names), *unnamed]
    alive = [traffic.requests_per_second > 0 for traffic in rows]

    def column(header: str, width: int, rank: int, cells: list[str]) -> Column:
        return Column(header, [Text(cell) for cell in cells], rank, width)

    columns = [
        column("share", 5, 0, shares),
        column("req/s", 6, 5, [format_rate(t.requests_per_second) for t in rows]),
        column("errors", 6, 0, [format_share(t.error_rate) if a else NONE for t, a in zip(rows, alive, strict=True)]),
        column("p50", 7, 1, [format_milliseconds(t.p50_ms) if a else NONE for t, a in zip(rows, alive, strict=True)]),
        column("p99", 7, 4, [format_milliseconds(t.p99_ms) if a else NONE for t, a in zip(rows, alive, strict=True)]),
        column("requests", 8, 2, [format_count(t.requests) for t in rows]),
        column("failed", 6, 3, [format_count(t.errors) for t in rows]),
    ]
    if any(health.healthy < health.total for health in rollout.endpoints.values()):
        columns.append(column("healthy", 9, 1, [*(_healthy(rollout, n) for n in names), *unnamed]))
    if any(t.ttft_p50_ms for t in rows):
        columns[5:5] = [
            column("ttft p50", 8, 1, [format_milliseconds(t.ttft_p50_ms) if t.ttft_p50_ms else NONE for t in rows]),
            column("ttft p99", 8, 4, [format_milliseconds(t.ttft_p99_ms) if t.ttft_p50_ms else NONE for t in rows]),
        ]
    if any(t.broken for t in rows):
        columns.append(column("broken", 6, 3, [format_count(t.broken) for t in rows]))
    if any(t.cancelled for t in rows):
        columns.append(column("cancelled", 9, 6, [format_count(t.cancelled) for t in rows]))
    if draining(rollout):
        columns.append(column("in progress", 11, 0, [format_count(t.in_progress) for t in rows]))
    return fitted_table("", labels, columns, width)


def _healthy(rollout: pb.Rollout, version: str) -> str:
    """How many endpoints of a version are healthy, of how many, for the proxy that has the fewest."""
    if version not in rollout.endpoints:
        return NONE
    health = rollout.endpoints[version]
    return f"{health.healthy}/{health.total}"


def _verdict(rollout: pb.Rollout, newest_kind: str) -> Iterator[RenderableType]:
    """The verdict; and the cause of the phase, unless the newest ledger line already gives it."""
    if rollout.stable_verdict and not rollout.details:
        return  # the rollout is over, and the ledger has everything that is still known of it
    line = Text.assemble("verdict ", coloured(rollout.verdict.upper() or NONE, rollout.verdict, bold=True))
    if rollout.phase in EXPLAINED and newest_kind != EXPLAINED[rollout.phase]:
        line.append(f"   {rollout.phase.lower().replace('_', ' ')}: {clean(rollout.phase_reason)}")
    yield line


def _evidence(rollout: pb.Rollout, width: int) -> Iterator[RenderableType]:
    """Each reason of the verdict: evidence as rows of a table, conditions as sentences."""
    for reason in rollout.details:
        if reason.limit <= 0:
            yield Text(f"  {clean(reason.text)}")
    if weighed := [reason for reason in rollout.details if reason.limit > 0]:
        yield _evidence_table(weighed, width)


def _evidence_table(weighed: Sequence[pb.ReasonInfo], width: int) -> Text:
    """Evidence for the canary is green and names its margin, evidence of harm is red; a full bar
    decides. `at most` is what is known of the canary now, above stable."""
    bars = [Text(evidence_bar(r.evidence, r.limit), "green" if r.margin else "red") for r in weighed]
    values = [Text(f"{format_e_value(r.evidence)} of {format_e_value(r.limit)}") for r in weighed]
    columns = [
        Column("canary", [Text(format_share(r.canary)) for r in weighed], 3, 6),
        Column("of", [Text(format_count(r.canary_n), "dim") for r in weighed], 2, 5),
        Column("stable", [Text(format_share(r.stable)) for r in weighed], 3, 6),
        Column("of", [Text(format_count(r.stable_n), "dim") for r in weighed], 2, 5),
        Column("", bars, 1, right=False),
        Column("", values, 0, 9, right=False),
        *_bounds(weighed),
        Column("needs", [Text(format_count(r.needed) if r.needed else "", "dim") for r in weighed], 4),
    ]
    return fitted_table("  evidence of", [_evidence_label(r) for r in weighed], columns, width, gap=1)


def _bounds(weighed: Sequence[pb.ReasonInfo]) -> list[Column]:
    """A column of what is known of the canary, where anything is."""
    if not any(r.HasField("bound") for r in weighed):
        return []
    return [Column("at most", [Text(f"+{r.bound * 100:.2g}pp" if r.HasField("bound") else "") for r in weighed], 2)]


def _evidence_label(reason: pb.ReasonInfo) -> Label:
    channel = reason.channel or ("all" if reason.code == "no_harm" else reason.code)
    return Label(f"  {channel}", f" < +{reason.margin * 100:.2g}pp") if reason.margin else Label(f"  harm, {channel}")


def _next(rollout: pb.Rollout) -> Iterator[RenderableType]:
    """What comes next and what it waits for, or what automation does about harm; nothing once the
    rollout is over."""
    if rollout.phase in ENDED:
        return
    reasons = awaited(rollout)
    if rollout.phase in CLIMBING and rollout.verdict != "harm":
        later = rollout.steps[rollout.step + 1 :]
        goal = format_weight(later[0]) if later else "promotion"
        reasons = [f"{goal}: {reason}" for reason in reasons] or [f"{goal}, once the canary is proven to do no harm"]
    for reason in reasons:
        yield Text.assemble("next    ", clean(reason))


def _stable(rollout: pb.Rollout) -> Iterator[RenderableType]:
    """While no rollout runs, the watch over stable."""
    if not rollout.stable_verdict:
        return
    yield Text.assemble("stable  ", coloured(rollout.stable_verdict.upper(), rollout.stable_verdict, bold=True))
    for reason in rollout.stable_reasons:
        yield Text(f"  {clean(reason)}")


def _ledger(
    console: Console, options: ConsoleOptions, events: Sequence[pb.Event], now: float, room: int
) -> Iterator[RenderableType]:
    """The newest line first and in full, then as many older ones as there is room for, each on one
    line."""
    if not events:
        return
    newest = _event(events[-1], now)
    older = room - (len(console.render_lines(newest, options.update(height=None))) if options.height else 1)
    yield Text()
    yield Text("ledger, newest first", "dim")
    yield newest
    for event in list(reversed(events))[1 : max(0, older) + 1]:
        yield clip_line(_event(event, now), options.max_width)


def _event(event: pb.Event, now: float) -> Text:
    line = Text.assemble((f"{format_time(event.at, now)} #{event.sequence} ", "dim"), (clean(event.kind), "bold"))
    changes = format_changes(event)
    line.append(f" {changes}" if changes else "", "cyan")
    return line.append(clean(f" by {format_actor(event)}: {event.why}"))

"""The live screen of one rollout: messages of the admin API -> what a person sees. Pure; fits 80 columns.

`watch` paints it, and so does the demo.
"""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.cli.text.lines import NONE, awaited, clean, clock, moved, scope, span, synced
from controller.cli.text.numbers import NAME, bar_of, clipped, count, figure, millis, rate, share
from controller.core.base.units import format_weight
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

LEDGER_LINES = 6
"""The newest lines of the ledger that are shown."""

TELLING = ("PAUSED", "ROLLING_BACK", "ROLLED_BACK")
"""The phases in which one asks why."""
CLIMBING = ("WARMING", "PROGRESSING")
"""The phases that lead to the next share."""
ENDED = ("IDLE", "PROMOTED", "ROLLED_BACK")
"""The phases in which nothing more will happen by itself."""

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
"""Of phases and verdicts; the rest is cyan."""


def screen(rollout: pb.Rollout, events: Iterable[pb.Event], now: float, notice: str = "") -> RenderableType:
    """The whole screen. `events` are the ledger's lines, oldest first; `notice` is said on top, in red."""
    newest = list(events)[: -LEDGER_LINES - 1 : -1]
    told = newest[0].why if newest else ""
    parts = [
        _head(rollout, now),
        _steps(rollout, now),
        *_banners(rollout, now, notice),
        Text(),
        _traffic(rollout),
        Text(),
        *_verdict(rollout, told),
        *_evidence(rollout),
        *_next(rollout),
        *_stable(rollout),
        Text(),
        *_ledger(newest, now),
    ]
    return Group(*parts)


def _head(rollout: pb.Rollout, now: float) -> RenderableType:
    row = Table.grid(expand=True, padding=(0, 1, 0, 0))
    row.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    row.add_column(justify="right", no_wrap=True)
    left = Text.assemble(_coloured(rollout.phase, bold=True), "  ", (clean(rollout.service), "bold"))
    if rollout.canary:
        left.append(f"  canary {clean(rollout.canary)}")
    row.add_row(left, Text(clock(now, now), "dim"))
    return row


def _steps(rollout: pb.Rollout, now: float) -> Text:
    """The way of the canary: steps done, the present one, those to come; and how the proxies follow."""
    line = Text()
    for number, weight in enumerate(rollout.steps):
        style = "green" if number < rollout.step else "bold reverse" if number == rollout.step else "dim"
        line.append(f" {format_weight(weight)} ", style if rollout.weights.get(rollout.canary) else "dim")
    if rollout.steps:
        line.append(" > ", "dim")
        line.append("promotion", "green" if rollout.phase in ("PROMOTING", "BAKING", "PROMOTED") else "dim")
        line.append("   ")
    if rollout.started_at:
        line.append(f"started {clock(rollout.started_at, now)}   ")
    if not rollout.proxies_total:
        return line.append("no proxy is connected", "bold red")
    behind = rollout.proxies_synced < rollout.proxies_total
    return line.append(f"proxies {synced(rollout)} in sync", "yellow" if behind else "green")


def _banners(rollout: pb.Rollout, now: float, notice: str) -> list[RenderableType]:
    """What must not be overlooked, across the whole width."""
    said = [(notice, "bold white on red")] if notice else []
    said += [(_frozen(freeze, now), "bold white on blue") for freeze in rollout.freezes]
    if rollout.diverted:
        said.append((f"ON THE FALLBACK: {rollout.diverted}", "bold white on red"))
    return [Padding(Text(clean(text), style), (0, 1), style=style) for text, style in said]


def _frozen(freeze: pb.FreezeInfo, now: float) -> str:
    word = "ON HOLD" if freeze.mode == "hold" else "FROZEN"
    end = f"until {clock(freeze.until, now)}, {span(freeze.until - now)} left" if freeze.until else "until it is lifted"
    return f"{word} ({scope(freeze)}) by {freeze.who} since {clock(freeze.since, now)}, {end}: {freeze.reason}"


def _traffic(rollout: pb.Rollout) -> RenderableType:
    """Canary and stable side by side: the last seconds, and the counts since the rollout started."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    columns = {"share": 5, "req/s": 6, "errors": 6, "p50": 7, "p99": 7, "requests": 8, "failed": 6}
    for name, width in columns.items():  # least widths, so that the figures stand still while they change
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    versions = [rollout.canary, rollout.stable, *(name for name, weight in rollout.weights.items() if weight)]
    for name in dict.fromkeys(filter(None, versions)):
        table.add_row(*_row(rollout, name))
    return table


def _row(rollout: pb.Rollout, name: str) -> list[Text]:
    seen = rollout.traffic[name] if name in rollout.traffic else pb.Traffic()
    role = {rollout.canary: " canary", rollout.stable: " stable"}.get(name, "")
    alive = seen.requests_per_second > 0
    cells = [
        format_weight(rollout.weights.get(name, 0)),
        rate(seen.requests_per_second),
        share(seen.error_rate) if alive else NONE,
        millis(seen.p50_ms) if alive else NONE,
        millis(seen.p99_ms) if alive else NONE,
        count(seen.requests),
        count(seen.errors),
    ]
    shown = clipped(name, NAME if role else NAME + len(" canary"))
    return [Text.assemble((shown, "bold"), (role, "dim")), *map(Text, cells)]


def _verdict(rollout: pb.Rollout, told: str) -> list[RenderableType]:
    """The judge's word; and why the rollout stands where it stands, unless the ledger's newest line says just that."""
    if rollout.stable_verdict and not rollout.details:
        return []  # the rollout is over, and nothing is known of it any more that the ledger does not say
    line = Text.assemble("verdict ", _coloured(rollout.verdict.upper() or NONE, rollout.verdict, bold=True))
    if rollout.phase in TELLING and rollout.phase_reason != told:
        line.append(f"   {rollout.phase.lower().replace('_', ' ')}: {clean(rollout.phase_reason)}")
    return [line]


def _evidence(rollout: pb.Rollout) -> list[RenderableType]:
    """Each ground of the verdict: those with evidence as rows, the others in words."""
    weighed = [ground for ground in rollout.details if ground.limit > 0]
    words = [ground.text for ground in rollout.details if ground.limit <= 0]
    parts: list[RenderableType] = [Text(f"  {clean(text)}") for text in words]
    if weighed:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("  evidence of", no_wrap=True, min_width=20)
        for name, width in (("canary", 6), ("of", 5), ("stable", 6), ("of", 5)):
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
        table.add_column("", no_wrap=True, min_width=20)
        table.add_column("needs", justify="right", no_wrap=True)
        for ground in weighed:
            table.add_row(*_weighed(ground))
        parts.append(table)
    return parts


def _weighed(ground: pb.ReasonInfo) -> list[RenderableType]:
    """Proof for the canary is green and names its margin, evidence of harm is red; either counts at a full bar."""
    channel = clipped(ground.channel or ("all" if ground.code == "no_harm" else ground.code))
    bar = Text(bar_of(ground.evidence, ground.limit), "green" if ground.margin else "red")
    return [
        Text(f"  {channel} < +{ground.margin * 100:.2g}pt" if ground.margin else f"  harm, {channel}"),
        Text(share(ground.canary)),
        Text(count(ground.canary_n), "dim"),
        Text(share(ground.stable)),
        Text(count(ground.stable_n), "dim"),
        bar.append(f" {figure(ground.evidence)} of {figure(ground.limit)}", "default"),
        Text(count(ground.needed) if ground.needed else "", "dim"),
    ]


def _next(rollout: pb.Rollout) -> list[RenderableType]:
    """What comes next and what it waits for, or what automation does about harm; nothing once the rollout is over."""
    if rollout.phase in ENDED:
        return []
    said = awaited(rollout)
    if rollout.phase in CLIMBING and rollout.verdict != "harm":
        later = rollout.steps[rollout.step + 1 :]
        goal = format_weight(later[0]) if later else "promotion"
        said = [f"{goal}: {reason}" for reason in said] or [f"{goal}, once the canary is proven to do no harm"]
    return [Text.assemble("next    ", clean(reason)) for reason in said]


def _stable(rollout: pb.Rollout) -> list[RenderableType]:
    """While no rollout runs the watch over stable goes on."""
    if not rollout.stable_verdict:
        return []
    line = Text.assemble("stable  ", _coloured(rollout.stable_verdict.upper(), rollout.stable_verdict, bold=True))
    return [line, *(Text(f"  {clean(reason)}") for reason in rollout.stable_reasons)]


def _ledger(newest: Sequence[pb.Event], now: float) -> list[RenderableType]:
    """The newest line first, and that one whole: a screen that is too low loses the oldest."""
    lines = [_line(event, now) for event in newest]
    for line in lines[1:]:
        line.no_wrap, line.overflow = True, "ellipsis"
    return [Text("ledger, newest first", "dim"), *lines] if lines else []


def _line(event: pb.Event, now: float) -> Text:
    line = Text.assemble((f"{clock(event.at, now)} #{event.sequence} ", "dim"), (clean(event.kind), "bold"))
    line.append(f" {moved(event)}" if moved(event) else "", "cyan")
    return line.append(clean(f" by {event.who}: {event.why}"))


def _coloured(text: str, key: str = "", *, bold: bool = False) -> tuple[str, str]:
    colour = _COLOURS.get(key or text, "cyan")
    return text, f"bold {colour}" if bold else colour

"""What the demo shows while it runs: a live screen on a terminal, plain lines elsewhere."""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from controller.cli.text.lines import event_line
from controller.cli.text.numbers import format_e_value
from controller.cli.text.values import NONE, clean, format_proxies
from controller.cli.text.watch_screen import WatchScreen
from controller.core.base.units import counted, format_weight
from controller.demo.harness.child_processes import Children
from controller.demo.load import NOBODY, Flow
from controller.demo.scenarios import ScenarioRun
from controller.demo.traffic_observer import TrafficObserver

RECENT = 2.0
"""Seconds over which rates and percentiles are shown."""
LOG_LINES, LOG_WIDTH = 15, 400
"""How much of each process's log is shown after a failure."""
PICTURE_WIDTH = 110
REFRESH = 0.25
"""Seconds between two pictures."""
STATUS_EVERY = 2.0
"""Seconds between two status lines where there is no terminal."""


def screen(title: str, witness: TrafficObserver, now: float) -> RenderableType:
    """The whole screen: what clients see, then the controller's own screen, as `haldane watch` paints it."""
    told = WatchScreen(witness.rollout, witness.lines, now)
    return Panel(Group(clients(witness), Text(), told), title=Text(title, "bold"), title_align="left")


def clients(witness: TrafficObserver) -> Table:
    """What clients see of each version, beside its weight at Envoy."""
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("clients see")
    for head in ("weight at Envoy", "share", "answers/s", "errors/s", "p50 ms", "p99 ms"):
        table.add_column(head, justify="right")
    flows = witness.load.last(RECENT)
    total = sum(flow.answers for flow in flows.values())
    for version in sorted({*flows, *witness.weights}):
        flow = flows.get(version, Flow(0, 0, 0.0, 0.0, 0.0))
        weight = format_weight(witness.weights.get(version, 0))
        table.add_row(*_row(version, weight, flow, total), style="red" if flow.errors else "")
    return table


def status_line(witness: TrafficObserver) -> str:
    """The same in one line, for where there is no terminal."""
    rollout = witness.rollout
    parts = [
        f"{version or 'nobody'} {format_weight(witness.weights.get(version, 0))} {flow.per_second:.0f}/s "
        f"{counted(flow.errors, 'error')} p50 {flow.p50_ms:.1f} p99 {flow.p99_ms:.1f} ms"
        for version, flow in witness.load.last(RECENT).items()
    ]
    weighed = [
        f"{ground.code} {format_e_value(ground.evidence)} of {format_e_value(ground.limit)}"
        for ground in rollout.details
        if ground.limit
    ]
    said = [
        f"verdict {rollout.verdict or NONE}",
        *weighed[:1],
        format_proxies(rollout.proxies_synced, rollout.proxies_total),
    ]
    return clean(" | ".join([rollout.phase, *parts, *said]))


def _row(version: str, weight: str, flow: Flow, total: int) -> tuple[str, ...]:
    share = f"{flow.answers / total:.1%}" if total else "-"
    name = version if version != NOBODY else "nobody"
    return (
        name,
        weight,
        share,
        f"{flow.per_second:.0f}",
        f"{flow.errors / RECENT:.0f}",
        f"{flow.p50_ms:.1f}",
        f"{flow.p99_ms:.1f}",
    )


class Display:
    """Where the demo shows itself."""

    def __init__(self, console: Console, picture: Path | None = None) -> None:
        self.console = console
        self.acts: list[dict[str, Any]] = []
        """What the summary told, as JSON values."""
        self._picture = picture
        self._title = ""
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._print(Text(f"{time.monotonic() - self._started:5.1f} s  {text}"))

    def open(self, title: str) -> None:
        """Another act begins."""
        self._title = title
        self._print(Text(f"\n{title}", style="bold"))

    def keep_picture(self, witness: TrafficObserver) -> None:
        """Write the live screen as SVG, if a picture is wanted."""
        if self._picture:
            paper = Console(record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True)
            paper.print(screen(self._title, witness, time.time()))
            paper.save_svg(str(self._picture), title="haldane demo")

    @contextlib.asynccontextmanager
    async def showing(self, witness: TrafficObserver) -> AsyncIterator[None]:
        """Show what the witness sees during the block."""
        show = self._live(witness) if self.console.is_terminal else self._lines(witness)
        task = asyncio.create_task(show)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def summary(self, plays: Sequence[ScenarioRun], witness: TrafficObserver) -> None:
        """What was seen, check by check, and what was measured."""
        for number, play in enumerate(plays, 1):
            seen = [{"text": check.text, "seen": check.ok} for check in play.checks]
            self.acts.append({"title": play.title, "ok": play.ok, "checks": seen, "measured": play.told})
            self._print(Text(f"\n{number}. {play.title}", style="bold"))
            for check in play.checks:
                mark = Text("  seen      ", style="green") if check.ok else Text("  NOT SEEN  ", style="bold red")
                self._print(mark + Text(check.text))
            for told in play.told:
                self._print(Text(f"  measured  {told}"))
        took = time.monotonic() - self._started
        unsent = f"; {witness.load.unsent} could not be sent" if witness.load.unsent else ""
        self._print(Text(f"\n{counted(len(witness.answers), 'request')} in all{unsent}; {took:.0f} s"))

    def show_logs(self, group: Children) -> None:
        """The last lines of every process, and where the whole is."""
        for log in sorted(group.folder.glob("*.log")):
            lines = [line[:LOG_WIDTH] for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]]
            self._print(Text(f"--- {log.name}", style="bold"))
            self._print(Text("\n".join(lines)))
        self._print(Text(f"everything is in {group.folder}"))

    def _print(self, text: Text) -> None:
        """Print; where there is no terminal, a line stays a line."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    async def _live(self, witness: TrafficObserver) -> None:
        with Live(console=self.console, auto_refresh=False) as live:
            while True:
                live.update(screen(self._title, witness, time.time()), refresh=True)
                await asyncio.sleep(REFRESH)

    async def _lines(self, witness: TrafficObserver) -> None:
        told = 0
        while True:
            for line in witness.lines[told:]:
                self.say(f"ledger: {event_line(line, time.time())}")
            told = len(witness.lines)
            self.say(status_line(witness))
            await asyncio.sleep(STATUS_EVERY)

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
from controller.cli.text.values import NONE, format_proxies
from controller.cli.text.watch_screen import WatchScreen
from controller.core.base.text import clean
from controller.core.base.units import counted, format_weight
from controller.demo.harness.child_processes import Children
from controller.demo.harness.flow import Flow
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.scenario_run import Act
from controller.demo.traffic_observer import TrafficObserver
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.process.periodic import every

RECENT = 2.0
"""Seconds over which rates and percentiles are shown."""
LOG_LINES, LOG_WIDTH = 15, 400
"""How much of each process's log is shown after a failure."""
PICTURE_WIDTH = 110
REFRESH = 0.25
"""Seconds between two paintings."""
STATUS_EVERY = 2.0
"""Seconds between two status lines where there is no terminal."""


def demo_screen(title: str, observer: TrafficObserver, now: float) -> RenderableType:
    """The whole screen: what clients see, then the screen of `haldane watch`."""
    rollout = WatchScreen(observer.rollout, observer.events, now)
    return Panel(Group(clients(observer), Text(), rollout), title=Text(title, "bold"), title_align="left")


def clients(observer: TrafficObserver) -> Table:
    """What clients see of each version, beside its weight at Envoy."""
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("clients see")
    for head in ("weight at Envoy", "share", "answers/s", "errors/s", "p50 ms", "p99 ms"):
        table.add_column(head, justify="right")
    flows = observer.load.last(RECENT)
    total = sum(flow.responses for flow in flows.values())
    for source in sorted({*flows, *observer.weights}):
        flow = flows.get(source, Flow())
        weight = format_weight(observer.weights.get(source, 0))
        table.add_row(*_row(source, weight, flow, total), style="red" if flow.errors else "")
    return table


def status_line(observer: TrafficObserver) -> str:
    """The same in one line, for where there is no terminal."""
    rollout = observer.rollout
    parts = [
        f"{source} {format_weight(observer.weights.get(source, 0))} {flow.per_second:.0f}/s "
        f"{counted(flow.errors, 'error')} p50 {flow.p50_ms:.1f} p99 {flow.p99_ms:.1f} ms"
        for source, flow in observer.load.last(RECENT).items()
    ]
    evidence = [
        f"{reason.code} {format_e_value(reason.evidence)} of {format_e_value(reason.limit)}"
        for reason in rollout.details
        if reason.limit
    ]
    proxies = format_proxies(rollout.proxies_synced, rollout.proxies_total)
    return clean(" | ".join([rollout.phase, *parts, f"verdict {rollout.verdict or NONE}", *evidence[:1], proxies]))


def _row(source: str, weight: str, flow: Flow, total: int) -> tuple[str, ...]:
    return (
        source,
        weight,
        f"{flow.responses / total:.1%}" if total else "-",
        f"{flow.per_second:.0f}",
        f"{flow.errors / RECENT:.0f}",
        f"{flow.p50_ms:.1f}",
        f"{flow.p99_ms:.1f}",
    )


class Display:
    """Prints what the demo does, and keeps what the summary said."""

    def __init__(self, console: Console, picture: Path | None = None) -> None:
        self.console = console
        self.scenarios: list[dict[str, Any]] = []
        """The summary as JSON values."""
        self._picture = picture
        self._title = ""
        self._started = time.monotonic()

    def show(self, text: str) -> None:
        """Print a line with the time."""
        self._print(Text(f"{time.monotonic() - self._started:5.1f} s  {text}"))

    def begin(self, title: str) -> None:
        """Print the title of the next scenario."""
        self._title = title
        self._print(Text(f"\n{title}", style="bold"))

    def save_picture(self, observer: TrafficObserver) -> None:
        """Write the live screen as SVG, if a picture is wanted."""
        if self._picture:
            paper = Console(record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True)
            paper.print(demo_screen(self._title, observer, time.time()))
            paper.save_svg(str(self._picture), title="haldane demo")

    @contextlib.asynccontextmanager
    async def showing(self, observer: TrafficObserver) -> AsyncIterator[None]:
        """Show what is observed during the block."""
        show = self._live(observer) if self.console.is_terminal else self._lines(observer)
        task = asyncio.create_task(show)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def summary(self, runs: Sequence[Act], loads: Sequence[LoadGenerator]) -> None:
        """Print what was observed, check by check, and what was measured."""
        for number, run in enumerate(runs, 1):
            checks = [{"text": check.text, "seen": check.ok} for check in run.checks]
            self.scenarios.append({"title": run.title, "ok": run.ok, "checks": checks, "measured": run.measured})
            self._print(Text(f"\n{number}. {run.title}", style="bold"))
            for check in run.checks:
                mark = Text("  seen      ", style="green") if check.ok else Text("  NOT SEEN  ", style="bold red")
                self._print(mark + Text(check.text))
            for text in run.measured:
                self._print(Text(f"  measured  {text}"))
        took = time.monotonic() - self._started
        sent, not_sent = (
            sum(counts) for counts in zip(*((len(each.results), each.unsent) for each in loads), strict=True)
        )
        unsent = f"; {not_sent} could not be sent" if not_sent else ""
        self._print(Text(f"\n{counted(sent, 'request')} in all{unsent}; {took:.0f} s"))

    def show_logs(self, group: Children) -> None:
        """Print the last lines of every process, and the folder of the logs."""
        for log in sorted(group.folder.glob("*.log")):
            lines = [line[:LOG_WIDTH] for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]]
            self._print(Text(f"--- {log.name}", style="bold"))
            self._print(Text("\n".join(lines)))
        self._print(Text(f"everything is in {group.folder}"))

    def _print(self, text: Text) -> None:
        """Print; where there is no terminal, without wrapping."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    async def _live(self, observer: TrafficObserver) -> None:
        with Live(console=self.console, auto_refresh=False) as live:
            while True:
                live.update(demo_screen(self._title, observer, time.time()), refresh=True)
                await asyncio.sleep(REFRESH)

    @contextlib.asynccontextmanager
    async def showing_events(self, events: Sequence[pb.Event]) -> AsyncIterator[None]:
        """Print the lines of the ledger that are added during the block."""
        printed = 0

        async def show() -> None:
            nonlocal printed
            for event in events[printed:]:
                self.show(f"ledger: {event_line(event, time.time())}")
            printed = len(events)

        task = asyncio.create_task(every(REFRESH, show))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _lines(self, observer: TrafficObserver) -> None:
        async with self.showing_events(observer.events):
            while True:
                self.show(status_line(observer))
                await asyncio.sleep(STATUS_EVERY)

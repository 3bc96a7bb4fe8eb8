"""The screen of `watch` for all services, one line each.

Pure; fits the width and the height that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from controller.cli.text.fitted_table import Column, Label, fitted_table
from controller.cli.text.service_lines import broken_lines, service_cells
from controller.cli.text.values import format_time
from controller.cli.text.watch_screen import ENDED, banner, coloured
from controller.core.base.text import clean
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

FIXED_LINES = 3
"""Lines other than the rows: the head, the heading of the table, and how many services are left out."""
RANKS = {"PHASE": 0, "STABLE": 1, "CANARY": 3, "WEIGHTS": 0, "PROXIES": 2, "VERDICT": 5, "FROZEN": 4}
"""Of the columns: where there is no room for all, the lowest rank above 0 is left out first."""
PHASE, VERDICT = 1, 6
"""Places in a row of `service_cells`."""


@dataclass(frozen=True, slots=True)
class ServicesScreen:
    """The whole screen. `now` is Unix seconds; `notice` is shown in red."""

    response: pb.ListServicesResponse
    now: float
    notice: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        services = list(self.response.services)
        yield Text(f"{counted(len(services), 'service')}   {format_time(self.now, self.now)}", "dim")
        notices = [*([self.notice] if self.notice else []), *broken_lines(self.response)]
        for text in notices:
            yield banner(text)
        if not services:
            yield Text("there are no services: declare one with `haldane apply -f FILE`")
            return
        room = max(1, options.height - FIXED_LINES - len(notices)) if options.height else len(services)
        shown = _most_active(services, room)
        yield _table(shown, options.max_width)
        if len(shown) < len(services):
            yield Text(f"and {len(services) - len(shown)} more, in which less happens", "dim")


def _most_active(services: Sequence[pb.Service], room: int) -> list[pb.Service]:
    """As many services as there is room for, in their order; those in which nothing happens are
    left out first."""
    by_activity = sorted(services, key=lambda service: not _is_active(service))
    kept = {service.name for service in by_activity[:room]}
    return [service for service in services if service.name in kept]


def _is_active(service: pb.Service) -> bool:
    running = service.rollout.phase not in ("", *ENDED)
    harmed = service.rollout.stable_verdict == "harm"
    return bool(running or harmed or service.freezes or service.diverted or service.problem)


def _table(services: Sequence[pb.Service], width: int) -> Text:
    rows = [service_cells(service) for service in services]
    labels = [Label(service.name, style="bold") for service in services]
    columns = [
        Column(header, [_cell(row, place) for row in rows], rank, right=False)
        for place, (header, rank) in enumerate(RANKS.items(), start=1)
    ]
    return fitted_table("SERVICE", labels, columns, width)


def _cell(row: Sequence[str], place: int) -> Text:
    text = clean(row[place])
    if place == VERDICT and text == "stable: harm":
        return Text.assemble(coloured(text, "harm"))
    return Text.assemble(coloured(text)) if place in (PHASE, VERDICT) else Text(text)

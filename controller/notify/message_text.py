"""Ledger lines as a message that a person reads."""

from collections.abc import Sequence
from datetime import UTC, datetime

from controller.core.base.text import clean, clean_lines
from controller.core.base.units import counted, format_weight
from controller.core.model.freeze import ALL
from controller.core.model.ledger_kind import severity_of
from controller.core.model.ledger_line import Entry, LedgerLine

SHOWN = 10
"""Lines of a message; the others are counted."""
MAX_WHY = 400
"""Characters of a reason in a message."""


def render_message(lines: Sequence[LedgerLine]) -> tuple[str, str]:
    """Title and text of a message with these lines; of more than `SHOWN`, the most severe ones."""
    severe = sorted(lines, key=lambda line: -severity_of(line.entry.kind))
    first = severe[0].entry
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    title = f"{severity_of(first.kind).name}: {first.kind} {_about(first)}{more}"
    shown = sorted(severe[:SHOWN], key=lambda line: line.sequence)
    text = [_render_line(line) for line in shown]
    if len(lines) > len(shown):
        text.append(f"... and {counted(len(lines) - len(shown), 'line')} more: `haldane events` has them all")
    return clean(title), clean_lines("\n".join(text))


def _render_line(line: LedgerLine) -> str:
    entry = line.entry
    moved = [
        f"{version} {format_weight(entry.weights_before.get(version, 0))} -> {format_weight(weight)}"
        for version, weight in entry.weights_after.items()
        if weight != entry.weights_before.get(version, 0)
    ]
    why = " ".join(entry.why.split())
    why = why if len(why) <= MAX_WHY else why[:MAX_WHY] + "..."
    at = datetime.fromtimestamp(line.at, UTC)
    where = f" ({', '.join(moved)})" if moved else ""
    return f"{at:%H:%M:%S}Z {entry.kind} {_about(entry)} by {entry.actor.described}{where}: {why}"


def _about(entry: Entry) -> str:
    return {"": "the fleet", ALL: "all services"}.get(entry.scope, entry.scope)
